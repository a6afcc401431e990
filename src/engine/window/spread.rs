//! Searching among hashes: they are spread evenly, so where one must be is known before looking. Most
//! of the others lie in memory that is far away.

/// The place of an id among ascending ones, or where it belongs.
pub(super) fn find(len: usize, id_at: impl Fn(usize) -> u64, id: u64) -> Result<usize, usize> {
    let guess = ((u128::from(id) * len as u128) >> 64) as usize;
    let (mut from, mut to, mut step) = (guess, guess, 1);
    // Ids before `from` are smaller, ids from `to` on are not.
    while from > 0 && id_at(from - 1) >= id {
        to = from - 1;
        from = from.saturating_sub(step);
        step *= 2;
    }
    while to < len && id_at(to) < id {
        from = to + 1;
        to = (to + step).min(len);
        step *= 2;
    }
    while from < to {
        let middle = from + (to - from) / 2;
        if id_at(middle) < id {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    if from < len && id_at(from) == id { Ok(from) } else { Err(from) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn it_is_found_where_a_plain_search_finds_it(
            mut ids in proptest::collection::vec(prop_oneof![any::<u64>(), 0_u64..40], 0..60),
            id in prop_oneof![any::<u64>(), 0_u64..40],
        ) {
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(super::find(ids.len(), |index| ids[index], id), ids.binary_search(&id));
        }
    }
}
