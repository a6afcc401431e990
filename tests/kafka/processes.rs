//! The program as an operator meets it on a real broker: commands by their exit codes and
//! sentences, instances by their log lines and health, all of them processes.
//!
//! To add a case: a function in the file of its subject; an installation of its own is a
//! [`place::Place`] with a name of its own, so cases share a broker.

#[path = "processes/bad_input.rs"]
mod bad_input;
#[path = "processes/commands.rs"]
mod commands;
#[path = "processes/letters.rs"]
mod letters;
#[path = "processes/names.rs"]
mod names;
#[path = "processes/outage.rs"]
mod outage;
#[path = "processes/place.rs"]
mod place;
#[path = "processes/refused.rs"]
mod refused;
#[path = "processes/secured.rs"]
mod secured;
#[path = "processes/stuck.rs"]
mod stuck;
#[path = "processes/topology.rs"]
mod topology;
