//! Plain data as bytes, the way pages have it. Reading is left to whoever knows whether the bytes can be
//! trusted.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What can be written as bytes and read again.
pub trait Plain: Serialize + DeserializeOwned {}

impl<T: Serialize + DeserializeOwned> Plain for T {}

/// Appends plain data.
pub(super) fn append(bytes: &mut Vec<u8>, value: &impl Serialize) {
    let before = bytes.len();
    if postcard::serialize_with_flavor(value, End(bytes)).is_err() {
        // Serialising plain data into memory cannot fail; half of it would be worse than none.
        bytes.truncate(before);
    }
}

/// The end of bytes, to write at. The one that comes with the format takes texts byte by byte.
struct End<'a>(&'a mut Vec<u8>);

impl Flavor for End<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
