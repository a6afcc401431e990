//! What is wrong with a configuration: every finding with its place and the next step. Rendered
//! by `miette` with the lines around it; `Display` is one line per finding for logs and tests.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use serde_saphyr::Location;

use super::scalar::byte_span;

/// Why there is no usable configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file can be read and is wrong.
    Wrong {
        /// Name and text, for snippets.
        source: Arc<NamedSource<String>>,
        /// Everything that was found, at least one.
        findings: Vec<Finding>,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Line, counted from 1; 0 when no place is known.
    pub line: u64,
    /// Column, counted from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    at: Location,
    span: (usize, usize),
    source: Option<Arc<NamedSource<String>>>,
}

impl Finding {
    /// A finding at a location of the file; its snippet comes with [`ConfigError::wrong`].
    pub fn at(at: Location, message: String, help: String) -> Finding {
        let unplaced = (0, 0);
        Finding { line: at.line(), column: at.column(), message, help, at, span: unplaced, source: None }
    }
}

impl ConfigError {
    /// Findings in the text of the file `name`.
    pub fn wrong(name: &str, text: &str, findings: Vec<Finding>) -> ConfigError {
        let source = Arc::new(NamedSource::new(name, text.to_owned()).with_language("yaml"));
        let placed = |mut finding: Finding| {
            finding.span = byte_span(text, finding.at);
            finding.source = Some(Arc::clone(&source));
            finding
        };
        let findings = findings.into_iter().map(placed).collect();
        ConfigError::Wrong { source, findings }
    }

    /// What was found, in file order.
    pub fn findings(&self) -> &[Finding] {
        match self {
            ConfigError::Unreadable { .. } => &[],
            ConfigError::Wrong { findings, .. } => findings,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { path, cause } => {
                write!(f, "the configuration file {path} cannot be read: {cause}")
            }
            ConfigError::Wrong { source, findings } => {
                let count = findings.len();
                let noun = if count == 1 { "finding" } else { "findings" };
                write!(f, "{}: {count} {noun}", source.name())?;
                for finding in findings {
                    write!(
                        f,
                        "\n{}:{}:{}: {} ({})",
                        source.name(),
                        finding.line,
                        finding.column,
                        finding.message,
                        finding.help
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// With colours and snippets as `miette` draws them, for a terminal `width` columns wide.
    pub fn render(&self, colour: bool) -> String {
        let theme = match colour {
            true => miette::GraphicalTheme::unicode(),
            false => miette::GraphicalTheme::unicode_nocolor(),
        };
        let handler = miette::GraphicalReportHandler::new_themed(theme).with_links(false);
        let mut out = String::new();
        match self {
            ConfigError::Unreadable { .. } => {
                out = format!(
                    "{self}\n  help: name a file with -c, or write one: \
                     accountpulse config defaults > accountpulse.yaml"
                );
            }
            ConfigError::Wrong { findings, .. } => {
                for finding in findings {
                    if handler.render_report(&mut out, finding).is_err() {
                        // Formatting into a String fails only when a Display does.
                        return self.to_string();
                    }
                }
            }
        }
        out
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Finding {}

impl Diagnostic for Finding {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_deref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (at, len) = self.span;
        (self.line > 0).then(|| {
            let label = LabeledSpan::new(Some("here".to_owned()), at, len);
            Box::new(std::iter::once(label)) as Box<dyn Iterator<Item = LabeledSpan>>
        })
    }
}
