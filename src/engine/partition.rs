//! Which partition and which page an account belongs to. The partition is Kafka's own choice for
//! a key (murmur2), so producers with the default partitioner need no help; the page is taken
//! from the same hash. Both are part of the stored format: never change them.

/// Hash buckets of accounts in one shard.
pub const PAGES: u32 = 256;

/// The bucket of accounts inside a shard that is checkpointed as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageId(pub u8);

/// Kafka's murmur2 of a key.
pub fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Kafka hashes the length as a Java int; keys of 4 GiB do not exist.
    let mut hash = SEED ^ (key.len() as u32);
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        // `chunks_exact(4)` yields four bytes.
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (i, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition Kafka's default partitioner gives a key. Zero partitions count as one.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    positive(key) % partitions.max(1)
}

/// The page of a key inside the shard of its partition. Zero partitions count as one.
pub fn bucket_of(key: &[u8], partitions: u32) -> PageId {
    // Dividing first takes out what the partition has fixed, so pages are evenly filled. The
    // remainder is below 256 and fits.
    PageId((positive(key) / partitions.max(1) % PAGES) as u8)
}

/// Kafka drops the sign bit before the remainder.
fn positive(key: &[u8]) -> u32 {
    murmur2(key) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_agrees_with_kafka() {
        // From Kafka's own UtilsTest.
        let vectors = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, expected) in vectors {
            assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        }
    }

    #[test]
    fn partition_and_page_come_from_one_hash() {
        let hash = murmur2(b"foobar") & 0x7fff_ffff;
        assert_eq!(partition_of(b"foobar", 12), hash % 12);
        assert_eq!(bucket_of(b"foobar", 12), PageId((hash / 12 % 256) as u8));
        assert_eq!(partition_of(b"foobar", 0), 0);
        assert_eq!(bucket_of(b"foobar", 0), bucket_of(b"foobar", 1));
    }

    #[test]
    fn pages_fill_evenly_whatever_the_partition_count() {
        for partitions in [1, 4, 12, 256] {
            let mut filled = [0_u32; 256];
            let keys = (0..200_000).map(|n| format!("acct-{n}"));
            for key in keys.filter(|key| partition_of(key.as_bytes(), partitions) == 0) {
                filled[usize::from(bucket_of(key.as_bytes(), partitions).0)] += 1;
            }
            let mean = filled.iter().sum::<u32>() / 256;
            assert!(filled.iter().all(|&n| n < 4 * mean + 8), "{partitions} partitions");
        }
    }
}
