//! Why a call to the cluster failed, as one sentence with the next step.

/// A failed call. Its text never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// There is no connection to the cluster.
    #[error("{sentence}")]
    Connect {
        /// The reason and the next step.
        sentence: String,
        /// Whether waiting cannot heal it.
        permanent: bool,
    },
    /// The cluster is reached and does not let us.
    #[error("{sentence}")]
    Denied {
        /// What is denied, to whom, and the next step.
        sentence: String,
    },
    /// A setting cannot be used.
    #[error("{setting}: {detail}")]
    Setting {
        /// Which one.
        setting: String,
        /// What is wrong with it, and the next step.
        detail: String,
    },
    /// The buffer of records on their way is full.
    #[error("the buffer of records on their way to the cluster is full; try again in a moment")]
    Busy,
    /// The offset asked for does not exist.
    #[error(
        "{topic}/{partition} has no offset {offset}: it was deleted by retention, or lies beyond the end; start \
         from the first one that exists"
    )]
    OutOfRange {
        /// Topic.
        topic: String,
        /// Partition.
        partition: u32,
        /// Asked for.
        offset: crate::log::Offset,
    },
    /// A call was answered with an error, or not in time.
    #[error("{what}: {detail}")]
    Call {
        /// What was asked.
        what: String,
        /// What was answered.
        detail: String,
    },
}

impl KafkaError {
    /// Whether waiting cannot heal it: somebody has to change something.
    pub fn is_permanent(&self) -> bool {
        match self {
            KafkaError::Connect { permanent, .. } => *permanent,
            KafkaError::Denied { .. } | KafkaError::Setting { .. } => true,
            KafkaError::Busy | KafkaError::OutOfRange { .. } | KafkaError::Call { .. } => false,
        }
    }
}
