//! The same commands to redis-server and to a node: the same replies, byte for byte.
//!
//! Intended differences, which the commands here avoid (`docs/resp.md` tells them to
//! users):
//!
//! - Keys are 1 to 65,536 bytes long, values as long as the node takes: Redis takes
//!   empty keys, and both up to 512 MB.
//! - `MSETNX` takes keys of one slot only, and 1,024 of them: one lock guards them.
//! - `OBJECT ENCODING` is told from the value; Redis remembers how it came to be.
//! - `OBJECT REFCOUNT` is 1; Redis shares small whole numbers.
//! - `MEMORY USAGE` counts what this store counts.
//! - `MEMORY HELP` names the subcommands that there are.
//! - Times after the year 10889 mean that year.
//! - `SET … IFEQ` is Valkey's.

use std::time::{SystemTime, UNIX_EPOCH};

use cached_tests::binaries;
use cached_tests::process::Process;
use cached_tests::redis::commands::{Asked, Commands, agree};
use cached_tests::redis::{RedisConnection, RedisServer, is_there, listening, shown, spelled};

/// Commands of each run: enough for every pair of command and state of a key.
const COMMANDS: usize = 6_000;

/// How many are sent before replies are read: Redis answers them one by one, too.
const PIPELINED: usize = 50;

/// The last commands that a failure shows.
const SHOWN: usize = 12;

struct Pair {
    redis: RedisConnection,
    ours: RedisConnection,
    /// The last commands and their replies, for people.
    story: Vec<String>,
}

impl Pair {
    async fn ask(&mut self, commands: &[Asked], seed: u64) {
        let bytes: Vec<u8> = commands
            .iter()
            .flat_map(|asked| spelled(&asked.words))
            .collect();
        self.redis.send(&bytes).await;
        self.ours.send(&bytes).await;
        for asked in commands {
            let (redis, ours) = (self.redis.reply().await, self.ours.reply().await);
            let words: Vec<String> = asked.words.iter().map(|word| shown(word)).collect();
            let line = format!("{:?} -> {}", words, shown(&redis));
            assert!(
                agree(&redis, &ours, asked.compare),
                "seed {seed}:\n{}\n{line}\nbut {}",
                self.story.join("\n"),
                shown(&ours)
            );
            self.story.push(line);
            if self.story.len() > SHOWN {
                self.story.remove(0);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_are_those_of_redis() {
    if !is_there("redis-server") {
        return;
    }
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--port", "0", "--resp", "127.0.0.1:0"].map(str::to_owned);
    let mut node = Process::start(&binaries::cached(), &arguments, &folder.path().join("log"));
    node.listening().await;
    let address = listening(&node, "plain").await;
    serves(address).await;

    let seed = std::env::var("CACHED_RESP_SEED").ok();
    let seed = seed.map_or(1, |seed| {
        seed.parse().expect("CACHED_RESP_SEED is a number")
    });
    for (seed, version) in [(seed, "2"), (seed + 1, "3")] {
        let mut pair = Pair {
            redis: RedisConnection::open(redis.address).await,
            ours: RedisConnection::open(address).await,
            story: Vec::new(),
        };
        pair.redis.ask(&["HELLO", version]).await;
        pair.ours.ask(&["HELLO", version]).await;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut commands = Commands::new(seed, wall.as_millis() as u64);
        let mut asked = 0;
        while asked < COMMANDS {
            let mut some = Vec::new();
            while some.len() < PIPELINED {
                some.extend(commands.more());
            }
            pair.ask(&some, seed).await;
            asked += some.len();
        }
    }
}

/// Waits until the node serves its slots.
async fn serves(address: std::net::SocketAddr) {
    cached_tests::wait::until("it serves", std::time::Duration::from_secs(30), || async {
        let mut connection = RedisConnection::open(address).await;
        let reply = connection.ask(&["EXISTS", "x"]).await;
        if reply == b":0\r\n" {
            return Ok(());
        }
        Err(shown(&reply))
    })
    .await;
}
