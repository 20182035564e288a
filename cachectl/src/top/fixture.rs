//! States for tests: a cluster of five in the middle of a drain, and what can be made of it.

use std::time::Duration;

use cached_client::admin::{
    BatchProgress, Blacklist, BlacklistEntry, CheckResult, GroupStats, Latency, NodeStats,
    Operation, PairProgress, Plan, PlanCheck, PlanMove, PlanReceiver, RegistryHealth, Status,
};
use cached_client::operations::{MoveCounts, OperationKind, OperationState};
use cached_client::records::GroupRecord;
use cached_client::types::GroupName;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::effect::Effect;
use super::message::{EventLine, HotKey, Message, Now, Source, Told, Update};
use super::shape::{Node, NodeState, Run, SLOTS, Shape};
use super::state::{Look, Options, State};
use super::update::update;

/// 2026-01-02T12:04:07Z.
const NOON_MS: u64 = 1_767_355_447_000;

/// So many seconds after the start.
pub(super) fn at(seconds: f64) -> Now {
    Now {
        since_start: Duration::from_secs_f64(seconds),
        unix_ms: NOON_MS + (seconds * 1000.0) as u64 - 60_000,
    }
}

/// Nothing is known yet.
pub(super) fn empty() -> State {
    let mut state = State::new(Options::default(), Look::default());
    state.now = at(0.0);
    state
}

/// A stream says something.
pub(super) fn hear(state: &mut State, seconds: f64, update_: Update) {
    let told = Told::Heard {
        endpoint: "http://10.0.0.11:8001".to_owned(),
        update: Box::new(update_),
    };
    update(state, at(seconds), Message::Told(told));
}

/// Nobody answers a stream.
pub(super) fn lose(state: &mut State, seconds: f64, source: Source) {
    let told = Told::Lost {
        source,
        reason: "10.0.0.11:8001: Connection refused".to_owned(),
        attempt: 3,
        retry_in_ms: 4000,
    };
    update(state, at(seconds), Message::Told(told));
}

/// A key is pressed.
pub(super) fn press(state: &mut State, code: KeyCode) -> Vec<Effect> {
    let now = state.now;
    update(
        state,
        now,
        Message::Key(KeyEvent::new(code, KeyModifiers::NONE)),
    )
}

/// Keys are pressed one after the other.
pub(super) fn type_in(state: &mut State, text: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for c in text.chars() {
        effects.extend(press(state, KeyCode::Char(c)));
    }
    effects
}

fn node(number: usize, state: NodeState, slots: u32) -> Node {
    Node {
        name: format!("n{number}"),
        incarnation: format!("{number:032x}"),
        address: if state == NodeState::Down {
            String::new()
        } else {
            format!("10.0.0.1{number}:8001")
        },
        state,
        slots,
        weight: 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: NOON_MS - 86_400_000 * number as u64,
        down_for_ms: if state == NodeState::Down { 42_000 } else { 0 },
        detail: if state == NodeState::Down {
            "lease expired".to_owned()
        } else {
            String::new()
        },
        ..Node::default()
    }
}

/// Runs of 64 slots, dealt out in turn to these owners.
fn runs(owners: &[u16]) -> Vec<Run> {
    let run = |index: usize| Run {
        first: (index * 64) as u16,
        last: (index * 64 + 63) as u16,
        owner: owners[(index * 7 + index / 5) % owners.len()],
    };
    (0..SLOTS / 64).map(run).collect()
}

/// Three up, one draining, one down.
pub(super) fn five() -> Shape {
    use NodeState::{Down, Draining, Up};
    Shape {
        cluster: "main".to_owned(),
        layout: 58,
        virtual_nodes: 50,
        hash: "crc16".to_owned(),
        mode: "available".to_owned(),
        default_group: "default-group".to_owned(),
        nodes: vec![
            node(1, Up, 5212),
            node(2, Up, 4900),
            node(3, Draining, 1507),
            node(4, Up, 4765),
            node(5, Down, 0),
        ],
        runs: runs(&[0, 1, 3, 0, 1, 3, 0, 2, 1, 3]),
    }
}

/// So many nodes, all of them up.
pub(super) fn many(count: usize, name: impl Fn(usize) -> String) -> Shape {
    let owners: Vec<u16> = (0..count as u16).collect();
    let nodes = (1..=count).map(|number| Node {
        name: name(number),
        ..node(number, NodeState::Up, (SLOTS / count) as u32)
    });
    Shape {
        nodes: nodes.collect(),
        runs: runs(&owners),
        ..five()
    }
}

impl Shape {
    /// The same without members.
    pub(super) fn without_nodes(mut self) -> Self {
        self.nodes.clear();
        self.runs.clear();
        self
    }
}

/// Counters after so many seconds.
pub(super) fn stats(shape: &Shape, seconds: u64) -> Vec<NodeStats> {
    let one = |(index, node): (usize, &Node)| {
        let busy = 30_000 + 2_000 * index as u64 + (seconds * 7919 % 4000);
        let group = |name: &str, share: u64| GroupStats {
            group: name.to_owned(),
            keys: 1_300_000 / share,
            bytes: (3 << 30) / share,
            hits: busy * seconds / share,
            misses: busy * seconds / share / 45,
            sets: busy * seconds / share / 20,
            evictions: 3 * seconds,
            ..GroupStats::default()
        };
        NodeStats {
            name: node.name.clone(),
            incarnation: node.incarnation.clone(),
            address: node.address.clone(),
            uptime: Duration::from_secs(seconds),
            memory_limit_bytes: 8 << 30,
            memory_used_bytes: (5 << 30) + ((index as u64 % 3) << 29),
            resident_bytes: 6 << 30,
            slots: node.slots,
            groups: vec![group("users", 1), group("scores", 3)],
            cpu: Duration::from_millis(430 * seconds),
            latency: Latency::new([
                (300, busy * seconds),
                (800 + 100 * index as u64, busy * seconds / 30),
            ]),
            ..NodeStats::default()
        }
    };
    let living = |node: &&Node| node.state != NodeState::Down;
    shape
        .nodes
        .iter()
        .filter(living)
        .enumerate()
        .map(one)
        .collect()
}

/// Health as n1 sees it.
pub(super) fn status(reachable: bool) -> Status {
    Status {
        cluster: "main".to_owned(),
        node: "n1".to_owned(),
        healthy: reachable,
        problems: Vec::new(),
        layout: 58,
        members_up: 3,
        members_joining: 0,
        members_draining: 0,
        members_down: 1,
        registry: RegistryHealth {
            kind: "etcd".to_owned(),
            reachable,
            unreachable_for: Duration::from_secs(if reachable { 0 } else { 18 }),
            ..RegistryHealth::default()
        },
        slots_unowned: 0,
        planner: "n1".to_owned(),
        fenced: false,
        degraded: false,
        mode: "available".to_owned(),
        version: "0.1.0".to_owned(),
        role: "node".to_owned(),
        operation: "op-7f3a90c1".to_owned(),
        slots_to_move: 1507,
    }
}

fn pair(to: &str, slots: u64, left: u32, rate: u64) -> PairProgress {
    PairProgress {
        from: "n3".to_owned(),
        to: to.to_owned(),
        moved: MoveCounts {
            slots,
            keys: slots * 400,
            bytes: slots << 20,
            ..MoveCounts::default()
        },
        slots_left: left,
        keys_left: u64::from(left) * 400,
        bytes_left: u64::from(left) << 20,
        bytes_per_second: rate,
        batches: vec![BatchProgress {
            page: 12,
            attempt: 1,
            slots: (300..340).collect(),
            state: "copying".to_owned(),
            keys_sent: 3120,
            keys_total: 14_700,
            ..BatchProgress::default()
        }],
        ..PairProgress::default()
    }
}

/// n3 gives its slots to three others; one of them is slow.
pub(super) fn draining() -> Operation {
    let mut slow = pair("n4", 700, 622, 12_900 << 10);
    slow.tries = 1;
    slow.last_error = "deadline exceeded on n4".to_owned();
    slow.next_try_in = Duration::from_secs(2);
    let pairs = vec![
        pair("n1", 1100, 310, 14_100 << 10),
        pair("n2", 770, 575, 15_200 << 10),
        slow,
    ];
    Operation {
        id: "op-7f3a90c1".to_owned(),
        kind: OperationKind::Drain,
        state: OperationState::Running,
        nodes: vec!["n3".to_owned()],
        base_layout: 57,
        layout: 58,
        by: "alice@bastion".to_owned(),
        message: "disk swap".to_owned(),
        requested_at_ms: NOON_MS - 139_000,
        started_at_ms: NOON_MS - 138_000,
        finished_at_ms: 0,
        deadline_at_ms: NOON_MS + 3_600_000,
        max_rate_bytes: 50 << 20,
        shed: false,
        cancelling: false,
        reason: String::new(),
        merged: Vec::new(),
        moved: MoveCounts {
            slots: 2570,
            keys: 1_630_000,
            bytes: 5_700 << 20,
            failures: 1,
            ..MoveCounts::default()
        },
        slots_left: 1507,
        keys_left: 950_000,
        bytes_left: 3_400 << 20,
        bytes_per_second: 42 << 20,
        eta: Some(Duration::from_secs(83)),
        pairs,
        unanswered: Vec::new(),
    }
}

fn blacklist() -> Blacklist {
    let auto = BlacklistEntry {
        observer: "n4".to_owned(),
        target: "n5".to_owned(),
        failures: 3,
        since_ms: NOON_MS - 42_000,
        expires_in: Duration::from_secs(258),
        next_probe_in: Duration::from_secs(24),
        last_error: "connect: connection refused".to_owned(),
        ..BlacklistEntry::default()
    };
    let manual = BlacklistEntry {
        observer: "*".to_owned(),
        target: "n2".to_owned(),
        manual: true,
        since_ms: NOON_MS - 840_000,
        expires_in: Duration::from_secs(480),
        reason: "disk swap".to_owned(),
        by: "alice@bastion".to_owned(),
        ..BlacklistEntry::default()
    };
    Blacklist {
        entries: vec![auto, manual],
        unanswered: vec!["n5".to_owned()],
    }
}

fn groups() -> Vec<GroupRecord> {
    let group = |name: &str, max_bytes, ttl| GroupRecord {
        name: GroupName::new(name).unwrap(),
        max_bytes,
        default_ttl_ms: ttl,
        policy: Default::default(),
        resp_db: None,
    };
    vec![
        group("scores", None, None),
        group("users", Some(14 << 30), Some(600_000)),
    ]
}

/// So many keys, each colder than the one before.
pub(super) fn hot_keys(count: usize) -> Vec<HotKey> {
    let key = |index: usize| HotKey {
        group: if index.is_multiple_of(3) {
            "users"
        } else {
            "scores"
        }
        .to_owned(),
        key: format!("user:{}", 4411 + index * 37),
        exact: index != 2,
        node: format!("n{}", 1 + index % 4),
        ops_per_second: 9100.0 / (index + 1) as f64,
        share: 0.07 / (index + 1) as f64,
        value_bytes: 1229 + 700 * index as u64,
    };
    (0..count).map(key).collect()
}

fn events() -> Vec<EventLine> {
    let event = |ago_ms, severity: &str, text: &str, by: &str| EventLine {
        at_ms: NOON_MS - ago_ms,
        severity: severity.to_owned(),
        text: text.to_owned(),
        by: by.to_owned(),
        identity: text.to_owned(),
    };
    vec![
        event(
            2_000,
            "warning",
            "n4 blacklisted n5 (3 failures, 5 min)",
            "",
        ),
        event(42_000, "error", "n5 lease expired; n5 owned 0 slots", ""),
        event(
            139_000,
            "info",
            "op-7f3a90c1 drain n3 started",
            "alice@bastion",
        ),
        event(42_000, "error", "n5 lease expired; n5 owned 0 slots", ""),
    ]
}

/// Everything at once: a drain, a dead node, counters, blame.
pub(super) fn busy() -> State {
    with_shape(&five())
}

/// The same with other members.
pub(super) fn with_shape(shape: &Shape) -> State {
    let mut state = empty();
    let mut before = shape.clone();
    before.layout = 57;
    for node in before.nodes.iter_mut().take(5) {
        if node.state == NodeState::Draining {
            (node.state, node.slots) = (NodeState::Up, 4077);
        }
    }
    hear(&mut state, 1.0, Update::Topology(before));
    for second in 2..59 {
        hear(
            &mut state,
            second as f64,
            Update::Stats(stats(shape, second)),
        );
    }
    hear(&mut state, 59.0, Update::Operation(draining()));
    hear(&mut state, 59.2, Update::Topology(shape.clone()));
    hear(&mut state, 59.3, Update::Blacklist(blacklist()));
    hear(&mut state, 59.4, Update::Groups(groups()));
    hear(&mut state, 59.5, Update::HotKeys(hot_keys(12)));
    for event in events() {
        hear(&mut state, 59.6, Update::Event(event));
    }
    hear(&mut state, 59.7, Update::Status(status(true)));
    state.now = at(60.0);
    state
}

/// The plan of a drain of n3.
pub(super) fn plan() -> Plan {
    let moved = |to: &str, slots| PlanMove {
        from: "n3".to_owned(),
        to: to.to_owned(),
        slots,
        keys: u64::from(slots) * 630,
        bytes: u64::from(slots) << 21,
        ranges: slots / 20,
    };
    let receiver = |name: &str, after: u64| PlanReceiver {
        name: name.to_owned(),
        memory_limit_bytes: 100,
        memory_used_bytes: 60,
        memory_after_bytes: after,
        ..PlanReceiver::default()
    };
    let check = |result, detail: &str| PlanCheck {
        name: "members".to_owned(),
        result,
        detail: detail.to_owned(),
        shortfall_bytes: 0,
    };
    Plan {
        id: "op-5c1e0000".to_owned(),
        base_layout: 58,
        moves: vec![moved("n1", 1410), moved("n2", 1345), moved("n4", 1322)],
        receivers: vec![receiver("n1", 71), receiver("n2", 68), receiver("n4", 66)],
        checks: vec![
            check(CheckResult::Ok, "memory headroom"),
            check(CheckResult::Warning, "n5 is down and receives nothing"),
        ],
        operation: None,
    }
}
