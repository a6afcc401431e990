//! `server.properties` of a test broker, and what a client sets to get in.

use super::ports::Port;
use super::{Broker, Listener, USERS};

/// One node that does everything, small internal topics, and no waiting where Kafka's defaults
/// think of clusters: a killed broker comes back after 2 s instead of 9, compaction and the end of
/// abandoned transactions are looked at every 200 ms instead of every 15 s and 10 s. A topic keeps
/// all unless it says otherwise: Kafka's week would take records that a test dates back.
const COMMON: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
num.network.threads=2
num.io.threads=4
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
transaction.abort.timed.out.transaction.cleanup.interval.ms=200
log.cleaner.backoff.ms=200
log.cleaner.dedupe.buffer.size=8388608
log.retention.ms=-1
log.initial.task.delay.ms=500
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,TLS:SSL,TLSOTHERHOST:SSL,\
SCRAM:SASL_SSL,PASSWORD:SASL_PLAINTEXT,MTLS:SSL,OAUTH:SASL_PLAINTEXT,PROXIED:PLAINTEXT
";

const SCRAM_MODULE: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const PLAIN_MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const OAUTH_MODULE: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";

/// The whole file.
pub fn server_properties(broker: &Broker) -> String {
    let mut lines = COMMON.to_owned();
    let mut set = |key: &str, value: &str| {
        lines.push_str(&format!("{key}={value}\n"));
    };
    let controller = format!("127.0.0.1:{}", broker.controller.number);
    let at = |found: &dyn Fn(Listener, u16) -> u16| {
        let listeners = broker.listeners.iter();
        let address = |(listener, port): &(Listener, Port)| {
            format!("{}://127.0.0.1:{}", name(*listener), found(*listener, port.number))
        };
        listeners.map(address).collect::<Vec<_>>().join(",")
    };
    let open = at(&|_, port| port);
    let advertised = at(&|listener, port| match listener {
        Listener::Proxied => broker.options.proxy.unwrap_or(port),
        _ => port,
    });
    if broker.options.own_controller {
        set("process.roles", "broker");
        set("controller.quorum.voters", &format!("2@{controller}"));
        set("listeners", &open);
    } else {
        set("controller.quorum.voters", &format!("1@{controller}"));
        set("listeners", &format!("{open},CONTROLLER://{controller}"));
    }
    set("advertised.listeners", &advertised);
    set("log.dirs", broker.folder.path().join("data").to_str().unwrap());
    if let Some(super_users) = &broker.options.super_users {
        let users = super_users.iter().map(|user| format!(";User:{user}")).collect::<String>();
        set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer");
        set("super.users", &format!("User:ANONYMOUS{users}"));
    }
    if broker.options.secured {
        secure(broker, &mut set);
    }
    for (key, value) in &broker.options.settings {
        set(key, value);
    }
    lines
}

/// The whole file of a controller of its own.
pub fn controller_properties(broker: &Broker) -> String {
    let controller = format!("127.0.0.1:{}", broker.controller.number);
    let data = broker.folder.path().join("controller");
    format!(
        "process.roles=controller\nnode.id=2\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT\nbroker.session.timeout.ms=2000\n\
         broker.heartbeat.interval.ms=400\ncontroller.quorum.voters=2@{controller}\n\
         listeners=CONTROLLER://{controller}\nlog.dirs={}\n",
        data.display()
    )
}

fn secure(broker: &Broker, set: &mut dyn FnMut(&str, &str)) {
    let certificates = broker.certificates();
    for (listener, _) in &broker.listeners {
        let prefix = format!("listener.name.{}", name(*listener).to_lowercase());
        let mut set = |key: &str, value: &str| set(&format!("{prefix}.{key}"), value);
        if matches!(listener, Listener::Tls | Listener::TlsOtherHost | Listener::Scram | Listener::Mtls) {
            let other_host = *listener == Listener::TlsOtherHost;
            let chain = if other_host { &certificates.other_host_chain } else { &certificates.server_chain };
            set("ssl.keystore.type", "PEM");
            set("ssl.keystore.location", chain.to_str().unwrap());
            set("ssl.truststore.type", "PEM");
            set("ssl.truststore.location", certificates.ca.to_str().unwrap());
        }
        match listener {
            Listener::Plain | Listener::Proxied | Listener::Tls | Listener::TlsOtherHost => {}
            Listener::Mtls => {
                set("ssl.client.auth", "required");
                set("ssl.principal.mapping.rules", "RULE:^CN=([^,]+).*$/$1/,DEFAULT");
            }
            Listener::Scram => {
                set("sasl.enabled.mechanisms", "SCRAM-SHA-512");
                set("scram-sha-512.sasl.jaas.config", &format!("{SCRAM_MODULE} required;"));
            }
            Listener::Password => {
                let user = |(user, password): &(&str, &str)| format!(" user_{user}=\"{password}\"");
                let users: String = USERS.iter().map(user).collect();
                set("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256");
                set("plain.sasl.jaas.config", &format!("{PLAIN_MODULE} required{users};"));
                set("scram-sha-256.sasl.jaas.config", &format!("{SCRAM_MODULE} required;"));
            }
            Listener::OAuth => {
                let module = format!("{OAUTH_MODULE} required unsecuredLoginStringClaim_sub=\"broker\";");
                set("sasl.enabled.mechanisms", "OAUTHBEARER");
                set("oauthbearer.sasl.jaas.config", &module);
            }
        }
    }
}

/// librdkafka settings for a listener.
pub fn client_properties(broker: &Broker, listener: Listener) -> Vec<(&'static str, String)> {
    let mut properties = Vec::new();
    let mut set = |key, value: &str| properties.push((key, value.to_owned()));
    let protocol = match listener {
        Listener::Plain | Listener::Proxied => "plaintext",
        Listener::Tls | Listener::TlsOtherHost | Listener::Mtls => "ssl",
        Listener::Scram => "sasl_ssl",
        Listener::Password | Listener::OAuth => "sasl_plaintext",
    };
    set("security.protocol", protocol);
    if protocol.ends_with("ssl") {
        set("ssl.ca.location", broker.certificates().ca.to_str().unwrap());
    }
    if protocol.starts_with("sasl") {
        let (user, password) = USERS[1];
        let mechanism = match listener {
            Listener::Scram => "SCRAM-SHA-512",
            Listener::OAuth => "OAUTHBEARER",
            _ => "PLAIN",
        };
        set("sasl.mechanism", mechanism);
        if listener == Listener::OAuth {
            set("enable.sasl.oauthbearer.unsecure.jwt", "true");
            set("sasl.oauthbearer.config", &format!("principal={user}"));
        } else {
            set("sasl.username", user);
            set("sasl.password", password);
        }
    }
    if listener == Listener::Mtls {
        set("ssl.certificate.location", broker.certificates().client.to_str().unwrap());
        set("ssl.key.location", broker.certificates().client_key.to_str().unwrap());
    }
    properties
}

fn name(listener: Listener) -> &'static str {
    match listener {
        Listener::Plain => "PLAIN",
        Listener::Tls => "TLS",
        Listener::TlsOtherHost => "TLSOTHERHOST",
        Listener::Scram => "SCRAM",
        Listener::Password => "PASSWORD",
        Listener::Mtls => "MTLS",
        Listener::OAuth => "OAUTH",
        Listener::Proxied => "PROXIED",
    }
}
