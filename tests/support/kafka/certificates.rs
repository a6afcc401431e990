//! Certificates of a test broker and its clients, made anew for each broker by the `openssl`
//! program: an authority, what it signed, and what a client or broker must not trust.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Paths of PEM files.
pub struct Certificates {
    /// The authority that signed `server_chain`, `other_host_chain` and `client`.
    pub ca: PathBuf,
    /// An authority that signed only `stranger`.
    pub unknown_ca: PathBuf,
    /// A client with the common name `client`, and its key.
    pub client: PathBuf,
    pub client_key: PathBuf,
    /// A client that the unknown authority signed, and its key.
    pub stranger: PathBuf,
    pub stranger_key: PathBuf,
    /// Key, certificate and authority of the broker in one file, for `localhost` and 127.0.0.1.
    pub server_chain: PathBuf,
    /// The same for a host that the broker does not run on.
    pub other_host_chain: PathBuf,
}

impl Certificates {
    /// Makes them all in `folder`.
    pub fn make(folder: &Path) -> Certificates {
        std::fs::create_dir_all(folder).unwrap();
        // Without it the system's own settings would add extensions of theirs.
        std::fs::write(folder.join("openssl.cnf"), "[req]\ndistinguished_name=name\n[name]\n").unwrap();
        let maker = Maker { folder };
        for authority in ["ca", "unknown-ca"] {
            maker.authority(authority);
        }
        for (name, authority, names) in [
            ("server", "ca", "DNS:localhost,IP:127.0.0.1"),
            ("other-host", "ca", "DNS:kafka.example.com"),
            ("client", "ca", "DNS:client"),
            ("stranger", "unknown-ca", "DNS:stranger"),
        ] {
            maker.leaf(name, authority, names);
        }
        let file = |name: &str| folder.join(name);
        Certificates {
            ca: file("ca.crt"),
            unknown_ca: file("unknown-ca.crt"),
            client: file("client.crt"),
            client_key: file("client.key"),
            stranger: file("stranger.crt"),
            stranger_key: file("stranger.key"),
            server_chain: maker.chain("server"),
            other_host_chain: maker.chain("other-host"),
        }
    }
}

struct Maker<'f> {
    folder: &'f Path,
}

impl Maker<'_> {
    fn authority(&self, name: &str) {
        self.request(name, &["-addext", "basicConstraints=critical,CA:TRUE"]);
    }

    fn leaf(&self, name: &str, authority: &str, names: &str) {
        let (ca, ca_key) = (format!("{authority}.crt"), format!("{authority}.key"));
        let names = format!("subjectAltName={names}");
        let leaf = "basicConstraints=critical,CA:FALSE";
        self.request(name, &["-CA", &ca, "-CAkey", &ca_key, "-addext", &names, "-addext", leaf]);
    }

    /// A key and a certificate with the common name `name`, valid from now on for two days.
    fn request(&self, name: &str, more: &[&str]) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let subject = format!("/CN={name}");
        let elliptic = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let mut openssl = Command::new("openssl");
        openssl.current_dir(self.folder).args(["req", "-config", "openssl.cnf"]);
        openssl.args(["-x509", "-sha256", "-days", "2"]);
        openssl.args(elliptic).args(["-subj", &subject, "-keyout", &key, "-out", &certificate]).args(more);
        let output = openssl.output().expect("`openssl` is missing: run scripts/setup-test-tools.sh");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl made no certificate for {name}: {said}");
    }

    /// Kafka wants key, certificate and authority in one file.
    fn chain(&self, name: &str) -> PathBuf {
        let read = |file: &str| std::fs::read_to_string(self.folder.join(file)).unwrap();
        let chain = [read(&format!("{name}.key")), read(&format!("{name}.crt")), read("ca.crt")].concat();
        let path = self.folder.join(format!("{name}-chain.pem"));
        std::fs::write(&path, chain).unwrap();
        path
    }
}
