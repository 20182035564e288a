//! What the daemon refuses, what it fills in, and what it shows.

use super::*;
use crate::config::raw::RawConfig;

fn check(change: impl FnOnce(&mut RawConfig)) -> Result<Config, ConfigError> {
    let mut raw = RawConfig::default();
    change(&mut raw);
    Config::check(&Layers {
        raw,
        origins: BTreeMap::new(),
    })
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn defaults_are_one_node_on_loopback() {
    let config = check(|_| ()).unwrap();
    assert_eq!(config.listen.port, 8001);
    assert_eq!(config.listen.host, "127.0.0.1");
    assert_eq!(config.registry, RegistrySettings::Embedded);
    assert_eq!(config.cluster.lease_ttl, Duration::from_secs(30));
    assert_eq!(config.limits.memory_bytes, 1 << 30);
    assert!(config.getter.is_none());
}

#[test]
fn mistakes_name_the_setting_the_value_and_the_limit() {
    type Change = fn(&mut RawConfig);
    let table: [(Change, &str); 27] = [
        (
            |raw| raw.name = text("a b"),
            "--name: node name \"a b\" may only hold letters",
        ),
        (
            |raw| raw.weight = Some(0),
            "--weight: 0 is not between 1 and 100",
        ),
        (
            |raw| raw.host = text("0.0.0.0"),
            "--host: 0.0.0.0 can be reached from other machines",
        ),
        (
            |raw| raw.advertise = text("here"),
            "--advertise: \"here\" is not HOST:PORT",
        ),
        (
            |raw| raw.advertise = text("here:0"),
            "--advertise: \"here:0\" is not HOST:PORT",
        ),
        (
            |raw| raw.groupname = text(""),
            "--groupname: group is empty",
        ),
        (
            |raw| raw.hash = text("md5"),
            "--hash: hash \"md5\" is not crc16, xxh3 or fnv1a",
        ),
        (
            |raw| raw.mode = text("best"),
            "--mode: \"best\" is not available or strict",
        ),
        (
            |raw| raw.policy = text("lfu"),
            "--policy: policy \"lfu\" is neither lru nor s3fifo",
        ),
        (
            |raw| raw.lease_ttl = text("1s"),
            "--lease-ttl: 1s is under the least of 2s",
        ),
        (
            |raw| raw.lease_ttl = text("soon"),
            "--lease-ttl: \"soon\" is no time",
        ),
        (
            |raw| raw.heartbeat = text("20s"),
            "--heartbeat: 20s leaves no room",
        ),
        (
            |raw| raw.self_check = text("4s"),
            "--self-check: 4s leaves no room",
        ),
        (
            |raw| raw.join_delay = text("later"),
            "--join-delay: \"later\" is no time",
        ),
        (
            |raw| raw.join_delay = text("25h"),
            "--join-delay: 25h is more than 24h",
        ),
        (
            |raw| raw.seal_budget = text("0s"),
            "--seal-budget: 0s is not between 1ns and 24h",
        ),
        (
            |raw| raw.seal_budget = text("900us"),
            "--seal-budget: 900µs is not between 1ms and 1s",
        ),
        (
            |raw| raw.seal_budget = text("2s"),
            "--seal-budget: 2s is not between 1ms and 1s",
        ),
        (
            |raw| raw.drain_deadline = text("99ms"),
            "--drain-deadline: 99ms is under the least of 100ms",
        ),
        (
            |raw| raw.etcd = Some(vec![String::new()]),
            "--etcd: an endpoint is empty",
        ),
        (
            |raw| raw.etcd_user = text("u"),
            "--etcd-user: says nothing without --etcd",
        ),
        (|raw| raw.api = Some(true), "--api: a gateway needs --etcd"),
        (
            |raw| raw.origin = text("dir:x"),
            "--origin: says nothing without --enable-getter",
        ),
        (
            |raw| raw.memory = text("lots"),
            "--memory: \"lots\" is no size",
        ),
        (
            |raw| raw.memory = text("2MiB"),
            "--max-value: 8388608 bytes is more than the 2097152",
        ),
        (
            |raw| raw.tls_cert = text("c"),
            "--tls-cert: needs --tls-key as well",
        ),
        (
            |raw| raw.expect = Some(3),
            "--expect: the registry inside this process",
        ),
    ];
    for (change, expected) in table {
        let error = check(change).unwrap_err().to_string();
        assert!(
            error.starts_with(expected),
            "{error}\n  instead of\n{expected}"
        );
    }
}

#[test]
fn slots_come_after_a_while_unless_told_otherwise() {
    let usual = check(|_| ()).unwrap();
    assert_eq!(usual.cluster.join_delay, Duration::from_secs(10));
    assert_eq!(usual.cluster.seal_budget, Duration::from_millis(20));
    let standby = |config: &Config| match config.role {
        Role::Node { standby, .. } => standby,
        Role::Gateway => false,
    };
    assert!(!standby(&usual));
    let told = check(|raw| {
        raw.join_delay = text("0s");
        raw.seal_budget = text("100ms");
        raw.standby = Some(true);
    });
    let told = told.unwrap();
    assert_eq!(told.cluster.join_delay, Duration::ZERO);
    assert!(standby(&told));
    let shown = told.describe(&BTreeMap::from([("join-delay".to_owned(), Origin::Flag)]));
    let line = |name: &str| {
        let mut lines = shown.lines();
        let line = lines.find(|line| line.split(' ').next() == Some(name));
        line.unwrap().split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("join-delay"), ["join-delay", "0s", "flag"]);
    assert_eq!(line("seal-budget"), ["seal-budget", "100ms", "default"]);
    assert_eq!(line("standby"), ["standby", "true", "default"]);
}

#[test]
fn beyond_loopback_something_must_protect() {
    let host = |raw: &mut RawConfig| {
        raw.host = text("0.0.0.0");
        raw.advertise = text("cache-1:8001");
    };
    assert!(check(host).is_err());
    for protect in [
        (|raw| raw.insecure = Some(true)) as fn(&mut RawConfig),
        |raw| raw.token_file = text("tokens"),
        |raw| {
            raw.tls_cert = text("c");
            raw.tls_key = text("k");
            raw.tls_ca = text("a");
        },
    ] {
        check(|raw| {
            host(raw);
            protect(raw);
        })
        .unwrap();
    }
    let error = check(|raw| {
        raw.host = text("0.0.0.0");
        raw.insecure = Some(true);
    });
    assert!(error.unwrap_err().to_string().contains("--advertise"));
}

#[test]
fn redis_listeners_are_read_and_guarded() {
    let config = check(|raw| {
        raw.resp = text("6379");
        raw.resp_cluster = text("[::1]:7101");
    })
    .unwrap();
    let bind = |host: &str, port| {
        let host = host.to_owned();
        Some(HostPort { host, port })
    };
    assert_eq!(config.resp.plain, bind("127.0.0.1", 6379));
    assert_eq!(config.resp.cluster, bind("[::1]", 7101));
    assert_eq!(check(|_| ()).unwrap().resp, RespSettings::default());

    type Change = fn(&mut RawConfig);
    let table: [(Change, &str); 7] = [
        (
            |raw| raw.resp = text("x"),
            "--resp: \"x\" is neither HOST:PORT nor PORT",
        ),
        (
            |raw| raw.resp = text(":1"),
            "--resp: \":1\" is neither HOST:PORT nor PORT",
        ),
        (
            |raw| raw.resp = text("0.0.0.0:1"),
            "--resp: 0.0.0.0 can be reached from other machines",
        ),
        (
            |raw| {
                raw.resp_cluster = text("0.0.0.0:1");
                raw.insecure = Some(true);
            },
            "--resp-cluster: 0.0.0.0 is no address that others can reach",
        ),
        (
            |raw| {
                raw.resp_cluster = text("1");
                raw.hash = text("xxh3");
            },
            "--resp-cluster: cluster clients compute slots with crc16, and --hash is xxh3",
        ),
        (
            |raw| {
                raw.resp_cluster = text("1");
                raw.api = Some(true);
                raw.etcd = Some(vec!["a:1".to_owned()]);
            },
            "--resp-cluster: a gateway owns no slots",
        ),
        (
            |raw| raw.resp_advertise = text("a:1"),
            "--resp-advertise: says nothing without --resp-cluster",
        ),
    ];
    for (change, expected) in table {
        let error = check(change).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn tls_alone_beyond_loopback_admits_everybody() {
    let tls = |host: &'static str, token_file: Option<&'static str>, auth: &'static str| {
        let config = check(|raw| {
            raw.host = text(host);
            raw.tls_cert = text("c");
            raw.tls_key = text("k");
            raw.tls_ca = text("a");
            raw.token_file = token_file.map(Into::into);
            raw.tls_client_auth = text(auth);
        });
        config.unwrap().admits_everybody()
    };
    assert!(tls("10.0.0.1", None, "none") && tls("10.0.0.1", None, "peers"));
    assert!(!tls("10.0.0.1", None, "all") && !tls("10.0.0.1", Some("t"), "none"));
    assert!(!tls("127.0.0.1", None, "none"));
    assert!(!check(|_| ()).unwrap().admits_everybody());
}

#[test]
fn loopback_is_recognized() {
    for host in ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"] {
        assert!(is_loopback(host), "{host}");
    }
    for host in [
        "0.0.0.0",
        "10.0.0.1",
        "::",
        "example.com",
        "localhost.example.com",
    ] {
        assert!(!is_loopback(host), "{host}");
    }
}

#[test]
fn the_description_hides_secrets_and_names_origins() {
    let config = check(|raw| {
        raw.enable_getter = Some(true);
        raw.origin = text("http://user:secret@host/{key}?token=secret");
    })
    .unwrap();
    let origins = BTreeMap::from([("origin".to_owned(), Origin::Flag)]);
    let description = config.describe(&origins);
    assert!(!description.contains("secret"), "{description}");
    assert!(description.contains("lease-ttl            30s                              default"));
    let line = description
        .lines()
        .find(|line| line.starts_with("origin "))
        .unwrap();
    assert!(
        line.contains("http://host/{key}") && line.ends_with("flag"),
        "{line}"
    );
}
