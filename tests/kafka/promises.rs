//! The promises of the log on a real cluster.

macro_rules! run_contract {
    ($($promise:ident)*) => {
        $(#[test] fn $promise() { crate::contract::$promise::<crate::cluster::Cluster>(); })*
    };
}

promises!(run_contract);
