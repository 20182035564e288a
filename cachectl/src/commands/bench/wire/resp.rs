//! The Redis protocol: GET, SET and DEL, pipelined over one connection.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use cached_client::types::Ttl;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::codec::{Decoder, command, outcome};
use super::{Ask, Heard, in_order};
use crate::commands::bench::mix::Kind;
use crate::commands::bench::record::Failed;
use crate::commands::bench::targets::Targets;

/// Connections of one client to all servers.
#[derive(Debug)]
pub struct Resp {
    targets: Rc<Targets>,
    token: Option<String>,
    ttl_ms: Option<String>,
    timeout: Duration,
    /// By number of the server.
    open: BTreeMap<usize, Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    decoder: Decoder,
    received: BytesMut,
}

impl Resp {
    /// Connects when something is sent, and shows `token` with AUTH.
    pub fn new(
        targets: Rc<Targets>,
        token: Option<String>,
        ttl: Option<Ttl>,
        timeout: Duration,
    ) -> Self {
        Self {
            targets,
            token,
            ttl_ms: ttl.map(|ttl| ttl.as_ms().to_string()),
            timeout,
            open: BTreeMap::new(),
        }
    }

    /// See [`super::Wire::round`].
    pub async fn round(&mut self, asks: &[Ask]) -> Vec<Heard> {
        let mut by_server: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, ask) in asks.iter().enumerate() {
            by_server.entry(ask.server).or_default().push(place);
        }
        let mut open = std::mem::take(&mut self.open);
        let exchanges = by_server.into_iter().map(|(server, places)| {
            let connection = open.remove(&server);
            self.exchange(asks, server, places, connection)
        });
        let mut answers = Vec::new();
        for (server, connection, places, heard) in join_all(exchanges).await {
            answers.push((places, heard));
            open.extend(connection.map(|connection| (server, connection)));
        }
        self.open = open;
        in_order(asks.len(), answers)
    }

    /// Sends commands to one server and hears the replies. A connection that failed is
    /// not given back.
    async fn exchange(
        &self,
        asks: &[Ask],
        server: usize,
        places: Vec<usize>,
        connection: Option<Connection>,
    ) -> (usize, Option<Connection>, Vec<usize>, Vec<Heard>) {
        let deadline = Instant::now() + self.timeout;
        let mut commands = BytesMut::new();
        for ask in places.iter().filter_map(|place| asks.get(*place)) {
            self.spell(&mut commands, ask);
        }
        let (mut heard, count) = (Vec::with_capacity(places.len()), places.len());
        let talk = async {
            let mut connection = match connection {
                Some(connection) => connection,
                None => self.connect(server).await?,
            };
            connection.talk(&commands, count, &mut heard).await?;
            Ok::<_, Failed>(connection)
        };
        let ended = timeout_at(deadline, talk).await;
        let ended = ended.unwrap_or_else(|_| Err(Failed::new("timeout", "no reply in time")));
        let connection = match ended {
            Ok(connection) => Some(connection),
            Err(failed) => {
                heard.resize(count, Heard::now(Err(failed)));
                None
            }
        };
        (server, connection, places, heard)
    }

    fn spell(&self, into: &mut BytesMut, ask: &Ask) {
        match (ask.kind, &self.ttl_ms) {
            (Kind::Get, _) => command(into, &[b"GET", &ask.key]),
            (Kind::Delete, _) => command(into, &[b"DEL", &ask.key]),
            (Kind::Set, None) => command(into, &[b"SET", &ask.key, &ask.value]),
            (Kind::Set, Some(ms)) => {
                command(into, &[b"SET", &ask.key, &ask.value, b"PX", ms.as_bytes()]);
            }
        }
    }

    async fn connect(&self, server: usize) -> Result<Connection, Failed> {
        let address = self.targets.address(server);
        let unreachable =
            |error: std::io::Error| Failed::new("unreachable", format!("{address}: {error}"));
        let stream = TcpStream::connect(&address).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let mut connection = Connection {
            stream,
            decoder: Decoder::default(),
            received: BytesMut::new(),
        };
        if let Some(token) = &self.token {
            let (mut auth, mut heard) = (BytesMut::new(), Vec::new());
            command(&mut auth, &[b"AUTH", token.as_bytes()]);
            connection.talk(&auth, 1, &mut heard).await?;
            if let Some(Err(failed)) = heard.pop().map(|heard| heard.outcome) {
                return Err(failed);
            }
        }
        Ok(connection)
    }
}

impl Connection {
    /// Writes commands and reads `count` replies at the same time: a server that stops
    /// reading until its replies are taken gets both.
    async fn talk(
        &mut self,
        commands: &[u8],
        count: usize,
        heard: &mut Vec<Heard>,
    ) -> Result<(), Failed> {
        let lost = |error: std::io::Error| Failed::new("lost", error.to_string());
        let (mut reader, mut writer) = self.stream.split();
        let (decoder, received) = (&mut self.decoder, &mut self.received);
        let read = async {
            while heard.len() < count {
                while heard.len() < count
                    && let Some(reply) = decoder.next(received)?
                {
                    heard.push(Heard::now(outcome(reply)));
                }
                if heard.len() < count && reader.read_buf(received).await.map_err(lost)? == 0 {
                    return Err(Failed::new("lost", "the server closed the connection"));
                }
            }
            Ok(())
        };
        let write = async { writer.write_all(commands).await.map_err(lost) };
        tokio::try_join!(write, read).map(drop)
    }
}
