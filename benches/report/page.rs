//! The document: one block of it is written from the figures, the rest is people's.

use std::path::{Path, PathBuf};

use crate::figures::find;

const BEGIN: &str = "<!-- figures: begin (written by `cargo bench --bench report`; do not edit) -->";
const END: &str = "<!-- figures: end -->";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md")
}

/// Puts the block into the document; where it stands.
pub fn write(conditions: &[String], figures: &[String]) -> Result<String, String> {
    let path = path();
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{shown}: {error}"))?;
    let new = replaced(&text, &block(conditions, figures)).ok_or_else(|| {
        format!("{shown} lacks the lines `{BEGIN}` and `{END}`; put them where the figures belong")
    })?;
    std::fs::write(&path, new).map_err(|error| format!("{shown}: {error}"))?;
    Ok(shown)
}

fn replaced(text: &str, block: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{block}\n{END}{after}"))
}

fn block(conditions: &[String], figures: &[String]) -> String {
    let mut block = String::new();
    for line in conditions {
        block.push_str(&format!("- {line}\n"));
    }
    block.push_str(
        "\n| name | value | unit | budget | verdict | what |\n| --- | ---: | --- | --- | --- | --- |\n",
    );
    for line in figures.iter().filter(|line| !is_beside(line)) {
        let [name, value, unit, budget, verdict] = fields(line);
        let what = find(name).map_or("", |figure| figure.what);
        block.push_str(&format!("| `{name}` | {value} | {unit} | {budget} | {verdict} | {what} |\n"));
    }
    block.push_str("\n| beside | what | value | unit |\n| --- | --- | ---: | --- |\n");
    for line in figures.iter().filter(|line| is_beside(line)) {
        let [name, value, unit, ..] = fields(line);
        let (figure, what) = name.split_once('/').unwrap_or((name, ""));
        block.push_str(&format!("| `{figure}` | {} | {value} | {unit} |\n", what.replace('_', " ")));
    }
    block
}

fn is_beside(line: &str) -> bool {
    line.split(' ').next().is_some_and(|name| name.contains('/'))
}

fn fields(line: &str) -> [&str; 5] {
    let mut fields = line.split(' ');
    std::array::from_fn(|_| fields.next().unwrap_or("-"))
}
