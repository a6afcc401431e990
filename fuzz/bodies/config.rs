//! The configuration file: any text is a configuration, or findings that can be shown.

use accountpulse::config::Config;

/// Longest report, beside what it quotes.
const MAX_REPORT_BYTES: usize = 256 * 1024;

/// Any bytes as a configuration file.
pub fn file(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let env = |name: &str| (name == "HOST").then(|| "host-1".to_owned());
    let parse = || Config::parse("accountpulse.yaml", text, &env);
    match parse() {
        Ok(config) => {
            let written = config.to_yaml();
            match Config::parse("written.yaml", &written, &env) {
                // Secrets are never written, so where one stood only what is written can be compared.
                Ok(again) if format!("{config:?}").contains("REDACTED") => {
                    assert_eq!(again.to_yaml(), written)
                }
                Ok(again) => {
                    assert_eq!(again, config, "written and read again it is another one:\n{written}")
                }
                Err(error) => panic!("a configuration we wrote is not read: {error}\n{written}"),
            }
            true
        }
        Err(error) => {
            assert!(!error.findings().is_empty(), "refused without a finding");
            // YAML ends a line at a lone carriage return too.
            let lines = text.split(['\n', '\r']).count() as u64 + 1;
            for finding in error.findings() {
                assert!(finding.line <= lines, "line {} of {lines}", finding.line);
                assert!(!finding.message.is_empty() && !finding.help.is_empty(), "{finding:?}");
            }
            for report in [error.to_string(), error.render(false), error.render(true)] {
                let most = MAX_REPORT_BYTES + 64 * text.len();
                assert!(!report.is_empty() && report.len() <= most, "{} bytes", report.len());
            }
            false
        }
    }
}
