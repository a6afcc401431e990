//! Where things stand in the file: the bare structure with places, to give a finding that names a
//! path (`scoring.bands.healthy`, `scoring.scorecards[0].groups`) its line and column.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// A node of the file.
#[derive(Debug)]
pub enum Node {
    /// A mapping.
    Map(BTreeMap<String, Spanned<Node>>),
    /// A sequence.
    List(Vec<Spanned<Node>>),
    /// Anything else.
    Leaf,
}

/// The structure of a file; a leaf when it has none.
pub fn parse(text: &str) -> Node {
    serde_saphyr::from_str(text).unwrap_or(Node::Leaf)
}

impl Node {
    /// Where a path stands, or the nearest of its ancestors that is in the file.
    pub fn locate(&self, path: &str) -> Location {
        let mut at = Location::UNKNOWN;
        let mut node = self;
        for step in path.split(['.', '[']).map(|step| step.trim_end_matches(']')) {
            let child = match node {
                Node::Map(map) => map.get(step),
                Node::List(list) => step.parse::<usize>().ok().and_then(|index| list.get(index)),
                Node::Leaf => None,
            };
            let Some(child) = child else { break };
            at = child.referenced;
            node = &child.value;
        }
        at
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        struct AnyNode;
        impl<'de> Visitor<'de> for AnyNode {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
                let mut map = BTreeMap::new();
                while let Some(key) = access.next_key::<String>()? {
                    map.insert(key, access.next_value()?);
                }
                Ok(Node::Map(map))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(node) = access.next_element()? {
                    list.push(node);
                }
                Ok(Node::List(list))
            }
            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
                IgnoredAny::deserialize(inner).map(|_| Node::Leaf)
            }
            fn visit_str<E: Error>(self, _: &str) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_bool<E: Error>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_unit<E: Error>(self) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_none<E: Error>(self) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
        }
        deserializer.deserialize_any(AnyNode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_line_or_to_that_of_an_ancestor() {
        let node = parse(
            "rules:\n  inactivity:\n    after_days: 0\nscoring:\n  scorecards:\n    - name: a\n    - name: b\n",
        );
        let cases = [
            ("rules.inactivity.after_days", 3),
            ("rules.inactivity.severity", 3),
            ("scoring.scorecards[1].name", 7),
            ("nowhere", 0),
        ];
        for (path, line) in cases {
            assert_eq!(node.locate(path).line(), line, "{path}");
        }
    }
}
