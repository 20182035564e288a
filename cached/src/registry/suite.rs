//! What any registry must do, as one story with its observations: run on the
//! embedded one and on real etcd, both must see exactly the same.

use std::fmt::Debug;
use std::time::Duration;

use super::{Change, Compare, Range, Record, Registry, RegistryError, Txn, Watch, Write};

/// What must be seen, in order. `+n` is a revision, counted from the story's start.
pub(super) const EXPECTED: &[(&str, &str)] = &[
    ("version", "3 numbers"),
    ("read of nothing", "+0 []"),
    ("put", "done +1"),
    ("read of a key", "+1 [a=1 +1 +1]"),
    ("create", "done +2"),
    ("create again", "not done +2"),
    ("compare with nothing", "done +3"),
    ("compare with less", "not done +3"),
    ("change", "done +4"),
    ("change again", "not done +4"),
    ("one of two compares", "not done +4"),
    ("three writes", "done +5"),
    ("put of a deleted key", "done +6"),
    ("delete of nothing", "done +6"),
    ("no writes", "not done +6"),
    (
        "read of everything",
        "+6 [a=2 +6 +6, b=3 +2 +4, c=1 +3 +3, d=1 +5 +5, e/1=1 +5 +5]",
    ),
    ("e/2", "done +7"),
    ("read of a prefix", "+7 [e/1=1 +5 +5, e/2=1 +7 +7]"),
    ("read of changes", "+7 [e/2=1 +7 +7]"),
    ("read of no changes", "+7 []"),
    ("129 writes", "Invalid"),
    ("128 writes", "done +8"),
    ("129 compares", "Invalid"),
    ("a key twice", "Invalid"),
    ("put and delete", "Invalid"),
    ("no key", "Invalid"),
    ("1.6 MiB", "Invalid"),
    ("2.5 MiB", "Invalid"),
    ("refused", "+8 []"),
    ("watch from the past", "e/1=1 +5 +5, e/2=1 +7 +7"),
    ("e/3", "done +9"),
    ("the same watch goes on", "e/3=1 +9 +9"),
    ("w/1", "done +10"),
    ("w/1", "done +11"),
    ("w/1", "done +12"),
    ("w/1 deleted", "done +13"),
    (
        "watch from now",
        "w/1=1 +10 +10, w/1=2 +10 +11, w/1=3 +10 +12, -w/1 +13",
    ),
    ("watch from the future", "w/1=3 +10 +12, -w/1 +13"),
    (
        "watch from a middle",
        "w/1=2 +10 +11, w/1=3 +10 +12, -w/1 +13",
    ),
    ("the shortest lease", "2s"),
    ("a long lease", "60s"),
    ("keep-alive", "60s"),
    ("put on a lease", "done +14"),
    (
        "on a lease",
        "+14 [l/1=1 +14 +14 leased, l/2=1 +14 +14 leased]",
    ),
    ("a lease ends by itself", "-l/1 +15, -l/2 +15"),
    ("keep-alive of a dead lease", "LeaseGone"),
    ("keep-alive of no lease", "LeaseGone"),
    ("put on a dead lease", "LeaseGone"),
    ("not put on a dead lease", "not done +15"),
    ("two on one", "done +16"),
    ("taken off", "done +17"),
    ("revoke", "()"),
    ("revoked", "+18 [l/2=1 +16 +17]"),
    (
        "revocation is seen",
        "l/1=1 +16 +16 leased, l/2=1 +16 +16 leased, l/2=1 +16 +17, -l/1 +18",
    ),
    ("revoke again", "LeaseGone"),
    ("compact", "()"),
    ("compact again", "Invalid"),
    ("compact the future", "Invalid"),
    (
        "watch from a compacted revision",
        "compacted where it was: true",
    ),
    ("after compaction", "done +19"),
    ("watch from the compaction", "z=1 +19 +19"),
    ("watch over the compaction", "z=1 +19 +19"),
    ("read after compaction", "+19 [z=1 +19 +19]"),
];

/// More than the slowest thing waited for: the end of a lease.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// Runs the story on a registry that nobody else writes to.
pub(super) async fn run_suite(registry: &Registry) -> Vec<(&'static str, String)> {
    let start = registry
        .read(Range::Key("start".into()))
        .await
        .unwrap()
        .revision;
    let mut story = Story {
        registry,
        start,
        seen: Vec::new(),
    };
    story.reads_and_transactions().await;
    story.refusals().await;
    story.watches().await;
    story.leases().await;
    story.compaction().await;
    story.seen
}

struct Story<'a> {
    registry: &'a Registry,
    start: i64,
    seen: Vec<(&'static str, String)>,
}

impl Story<'_> {
    fn see(&mut self, what: &'static str, seen: impl Into<String>) {
        self.seen.push((what, seen.into()));
    }

    async fn reads_and_transactions(&mut self) {
        let version = self.registry.server_version().await.unwrap();
        let numbers = version
            .split(['.', '-'])
            .take(3)
            .filter(|part| part.parse::<u32>().is_ok());
        self.see("version", format!("{} numbers", numbers.count()));
        self.read("read of nothing", Range::Key("a".into())).await;
        self.txn("put", vec![], vec![put("a", "1")]).await;
        self.read("read of a key", Range::Key("a".into())).await;
        self.txn("create", vec![created("b", 0)], vec![put("b", "1")])
            .await;
        self.txn("create again", vec![created("b", 0)], vec![put("b", "2")])
            .await;
        self.txn(
            "compare with nothing",
            vec![modified("c", 0)],
            vec![put("c", "1")],
        )
        .await;
        self.txn(
            "compare with less",
            vec![modified("d", 7)],
            vec![put("d", "1")],
        )
        .await;
        let b = self.start + 2;
        self.txn("change", vec![modified("b", b)], vec![put("b", "3")])
            .await;
        self.txn("change again", vec![modified("b", b)], vec![put("b", "4")])
            .await;
        let both = vec![created("b", b), modified("c", 0)];
        self.txn("one of two compares", both, vec![put("d", "1")])
            .await;
        let three = vec![put("d", "1"), Write::Delete("a".into()), put("e/1", "1")];
        self.txn("three writes", vec![created("b", b)], three).await;
        self.txn(
            "put of a deleted key",
            vec![created("a", 0)],
            vec![put("a", "2")],
        )
        .await;
        self.txn(
            "delete of nothing",
            vec![],
            vec![Write::Delete("nothing".into())],
        )
        .await;
        self.txn("no writes", vec![created("a", 0)], vec![]).await;
        self.read("read of everything", Range::Prefix(String::new()))
            .await;
        self.txn("e/2", vec![], vec![put("e/2", "1")]).await;
        self.read("read of a prefix", Range::Prefix("e/".into()))
            .await;
        self.read(
            "read of changes",
            Range::PrefixSince("e/".into(), self.start + 7),
        )
        .await;
        self.read(
            "read of no changes",
            Range::PrefixSince("e/".into(), self.start + 8),
        )
        .await;
    }

    async fn refusals(&mut self) {
        let many = |count: usize| (0..count).map(|n| put(&format!("many/{n}"), "1")).collect();
        self.txn("129 writes", vec![], many(129)).await;
        self.txn("128 writes", vec![], many(128)).await;
        let compares = |count: usize| (0..count).map(|_| created("nothing", 0)).collect();
        self.txn("129 compares", compares(129), vec![]).await;
        self.txn("a key twice", vec![], vec![put("f", "1"), put("f", "2")])
            .await;
        let twice = vec![put("f", "1"), Write::Delete("f".into())];
        self.txn("put and delete", vec![], twice).await;
        self.txn("no key", vec![], vec![put("", "1")]).await;
        // The first is etcd's own limit, the second that of its gRPC server.
        self.txn("1.6 MiB", vec![], vec![put("f", &"x".repeat(1_600_000))])
            .await;
        self.txn("2.5 MiB", vec![], vec![put("f", &"x".repeat(5 << 19))])
            .await;
        self.read("refused", Range::Key("f".into())).await;
    }

    async fn watches(&mut self) {
        let mut past = self.registry.watch("e/", self.start + 1).await.unwrap();
        self.changes("watch from the past", &mut past, 2).await;
        self.txn("e/3", vec![], vec![put("e/3", "1"), put("g", "1")])
            .await;
        self.changes("the same watch goes on", &mut past, 1).await;
        let mut live = self.registry.watch("w/", 0).await.unwrap();
        let revision = self
            .registry
            .read(Range::Key("w/".into()))
            .await
            .unwrap()
            .revision;
        let mut future = self.registry.watch("w/", revision + 3).await.unwrap();
        for value in ["1", "2", "3"] {
            self.txn("w/1", vec![], vec![put("w/1", value)]).await;
        }
        self.txn("w/1 deleted", vec![], vec![Write::Delete("w/1".into())])
            .await;
        self.changes("watch from now", &mut live, 4).await;
        self.changes("watch from the future", &mut future, 2).await;
        let mut second = self.registry.watch("w/", revision + 2).await.unwrap();
        self.changes("watch from a middle", &mut second, 3).await;
    }

    async fn leases(&mut self) {
        let short = self
            .grant("the shortest lease", Duration::from_millis(1))
            .await;
        let long = self.grant("a long lease", Duration::from_secs(60)).await;
        let kept = self.registry.keep_alive(long).await;
        self.see("keep-alive", shown(kept));
        let leased = vec![leased("l/1", short), leased("l/2", short)];
        self.txn("put on a lease", vec![], leased).await;
        self.read("on a lease", Range::Prefix("l/".into())).await;
        let mut watch = self.registry.watch("l/", 0).await.unwrap();
        self.changes("a lease ends by itself", &mut watch, 2).await;
        let dead = self.registry.keep_alive(short).await;
        self.see("keep-alive of a dead lease", shown(dead));
        let never = self.registry.keep_alive(12_345).await;
        self.see("keep-alive of no lease", shown(never));
        self.txn(
            "put on a dead lease",
            vec![],
            vec![put("l/3", "1"), self::leased("l/4", short)],
        )
        .await;
        let failing = vec![created("b", 0)];
        self.txn(
            "not put on a dead lease",
            failing,
            vec![self::leased("l/4", short)],
        )
        .await;
        self.txn(
            "two on one",
            vec![],
            vec![self::leased("l/1", long), self::leased("l/2", long)],
        )
        .await;
        self.txn("taken off", vec![], vec![put("l/2", "1")]).await;
        let revoked = self.registry.revoke(long).await;
        self.see("revoke", shown(revoked));
        self.read("revoked", Range::Prefix("l/".into())).await;
        self.changes("revocation is seen", &mut watch, 4).await;
        let again = self.registry.revoke(long).await;
        self.see("revoke again", shown(again));
    }

    async fn compaction(&mut self) {
        let revision = self
            .registry
            .read(Range::Key("a".into()))
            .await
            .unwrap()
            .revision;
        let mut running = self.registry.watch("z", 0).await.unwrap();
        let compacted = self.registry.compact(revision).await;
        self.see("compact", shown(compacted));
        let again = self.registry.compact(revision).await;
        self.see("compact again", shown(again));
        let future = self.registry.compact(revision + 100).await;
        self.see("compact the future", shown(future));
        let mut old = self.registry.watch("", self.start + 1).await.unwrap();
        let error = old.next().await;
        let at = matches!(error, Err(RegistryError::Compacted { revision: at }) if at == revision);
        self.see(
            "watch from a compacted revision",
            format!("compacted where it was: {at}"),
        );
        let mut new = self.registry.watch("z", revision).await.unwrap();
        self.txn("after compaction", vec![], vec![put("z", "1")])
            .await;
        self.changes("watch from the compaction", &mut new, 1).await;
        self.changes("watch over the compaction", &mut running, 1)
            .await;
        self.read("read after compaction", Range::Key("z".into()))
            .await;
    }

    async fn read(&mut self, what: &'static str, range: Range) {
        let seen = match self.registry.read(range).await {
            Ok(snapshot) => {
                let records = snapshot.records.iter().map(|record| self.record(record));
                let records: Vec<_> = records.collect();
                format!("{} [{}]", self.at(snapshot.revision), records.join(", "))
            }
            Err(error) => shown::<()>(Err(error)),
        };
        self.see(what, seen);
    }

    async fn txn(&mut self, what: &'static str, compares: Vec<Compare>, writes: Vec<Write>) {
        let seen = match self.registry.txn(Txn { compares, writes }).await {
            Ok(outcome) if outcome.succeeded => format!("done {}", self.at(outcome.revision)),
            Ok(outcome) => format!("not done {}", self.at(outcome.revision)),
            Err(error) => shown::<()>(Err(error)),
        };
        self.see(what, seen);
    }

    async fn grant(&mut self, what: &'static str, ttl: Duration) -> i64 {
        let (lease, granted) = self.registry.grant(ttl).await.unwrap();
        self.see(what, format!("{granted:?}"));
        lease
    }

    /// The next changes of a watch, however they are batched.
    async fn changes(&mut self, what: &'static str, watch: &mut Watch, count: usize) {
        let (mut changes, mut last) = (Vec::new(), 0);
        while changes.len() < count {
            let batch = tokio::time::timeout(WAIT_MAX, watch.next()).await;
            let batch = batch
                .unwrap_or_else(|_| panic!("{what}: only {changes:?}"))
                .unwrap();
            assert!(
                batch.revision > last,
                "{what}: revision {} again",
                batch.revision
            );
            last = batch.revision;
            changes.extend(batch.changes);
        }
        let seen = changes.iter().map(|change| match change {
            Change::Put(record) => self.record(record),
            Change::Deleted { key, mod_revision } => format!("-{key} {}", self.at(*mod_revision)),
        });
        let seen: Vec<_> = seen.collect();
        self.see(what, seen.join(", "));
    }

    fn record(&self, record: &Record) -> String {
        let (created, changed) = (
            self.at(record.create_revision),
            self.at(record.mod_revision),
        );
        let value = String::from_utf8_lossy(&record.value);
        let leased = if record.lease == 0 { "" } else { " leased" };
        format!("{}={value} {created} {changed}{leased}", record.key)
    }

    fn at(&self, revision: i64) -> String {
        format!("+{}", revision - self.start)
    }
}

fn put(key: &str, value: &str) -> Write {
    Write::Put {
        key: key.into(),
        value: value.to_owned().into(),
        lease: 0,
    }
}

fn leased(key: &str, lease: i64) -> Write {
    Write::Put {
        key: key.into(),
        value: "1".into(),
        lease,
    }
}

fn created(key: &str, revision: i64) -> Compare {
    Compare::CreateRevision(key.into(), revision)
}

fn modified(key: &str, revision: i64) -> Compare {
    Compare::ModRevision(key.into(), revision)
}

/// What a call answered; of an error only its kind, the words may differ.
fn shown<T: Debug>(answer: Result<T, RegistryError>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => {
            let kind = format!("{error:?}");
            kind.split(['(', ' ']).next().unwrap_or_default().into()
        }
    }
}
