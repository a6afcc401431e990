//! The secret key of the person pseudonyms: 32 hexadecimal digits in a file that only its owner
//! may read, made on the first start from the system's random numbers.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use crate::engine::event::PersonKey;

const KEY_BYTES: usize = 16;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum PersonKeyError {
    /// The file cannot be read or made.
    #[error("the key file {path} cannot be {action}: {cause}; check privacy.person_key_file and its folder")]
    Io {
        /// Which file.
        path: String,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// The file does not hold a key.
    #[error(
        "the key file {path} does not hold 32 hexadecimal digits; restore it from a backup, \
             since with another key every person would count twice"
    )]
    Malformed {
        /// Which file.
        path: String,
    },
    /// Others may read the file.
    #[error("the key file {path} may be read by others (mode {mode:o}); run: chmod 600 {path}")]
    Exposed {
        /// Which file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
}

/// The key in the file; makes the file when it is absent.
pub fn load_or_create(path: &Path) -> Result<PersonKey, PersonKeyError> {
    let shown = path.display().to_string();
    let failed = |action, cause| PersonKeyError::Io { path: shown.clone(), action, cause };
    match fs::metadata(path) {
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(PersonKeyError::Exposed { path: shown, mode });
            }
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            create(path).map_err(|cause| failed("made", cause))?;
        }
        Err(cause) => return Err(failed("read", cause)),
    }
    let text = SecretString::from(fs::read_to_string(path).map_err(|cause| failed("read", cause))?);
    let key = parse(text.expose_secret().trim()).ok_or(PersonKeyError::Malformed { path: shown.clone() })?;
    Ok(PersonKey::new(key))
}

fn create(path: &Path) -> io::Result<()> {
    let (mut key, mut name) = ([0u8; KEY_BYTES], [0u8; 8]);
    let mut random = fs::File::open("/dev/urandom")?;
    random.read_exact(&mut key)?;
    random.read_exact(&mut name)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    // Whole or not at all, and never in the place of a key that another process made meanwhile.
    let draft = path.with_extension(format!("{:016x}.new", u64::from_ne_bytes(name)));
    let made = write_new(&draft, &digits).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&draft);
    made?;
    removed?;
    // Events would be pseudonymised with a key that a crash could take away again.
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => fs::File::open(".")?.sync_all(),
    }
}

fn write_new(path: &Path, digits: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{digits}\n").as_bytes())?;
    file.sync_all()
}

fn parse(text: &str) -> Option<[u8; KEY_BYTES]> {
    if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
        return None;
    }
    let mut key = [0u8; KEY_BYTES];
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/person.key");
        let made = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap().fingerprint(), made.fingerprint());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_create(&path), Err(PersonKeyError::Exposed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "not a key").unwrap();
        assert!(matches!(load_or_create(&path), Err(PersonKeyError::Malformed { .. })));
    }
}
