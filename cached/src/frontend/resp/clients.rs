//! The open connections of this process as `CLIENT LIST` shows them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::reply::RespVersion;
use crate::clock::Moment;

/// All of them, over both listeners.
#[derive(Debug, Default)]
pub struct Clients {
    /// Guards the list; held for a step of one connection, or for a copy of all.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    clients: BTreeMap<u64, Arc<Client>>,
}

/// One open connection.
#[derive(Debug)]
pub struct Client {
    /// Unique in this process, and growing.
    pub id: u64,
    /// Who is at the other end.
    pub address: Option<SocketAddr>,
    /// Since when.
    pub opened: Moment,
    /// What it said of itself. Guards a few short texts.
    pub said: Mutex<Said>,
}

/// What a client said of itself.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// By `CLIENT SETNAME` or `HELLO`.
    pub name: String,
    /// By `CLIENT SETINFO`.
    pub lib_name: String,
    /// By `CLIENT SETINFO`.
    pub lib_version: String,
    /// By `SELECT`.
    pub database: u32,
    /// By `HELLO`.
    pub version: RespVersion,
}

/// A place on the list; given up when it drops.
#[derive(Debug)]
pub struct Listed {
    clients: Arc<Clients>,
    client: Arc<Client>,
}

impl std::ops::Deref for Listed {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.clients.inner.lock().clients.remove(&self.client.id);
    }
}

impl Clients {
    /// Puts a connection on the list.
    pub fn add(self: &Arc<Self>, address: Option<SocketAddr>, now: Moment) -> Listed {
        let mut inner = self.inner.lock();
        inner.last += 1;
        let client = Arc::new(Client {
            id: inner.last,
            address,
            opened: now,
            said: Mutex::default(),
        });
        inner.clients.insert(client.id, Arc::clone(&client));
        Listed {
            clients: Arc::clone(self),
            client,
        }
    }

    /// Everyone, by id.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.inner.lock().clients.values().cloned().collect()
    }
}

impl Client {
    /// Its line in `CLIENT LIST`.
    pub fn line(&self, now: Moment) -> String {
        let said = self.said.lock().clone();
        let address = self.address.map(|address| address.to_string());
        format!(
            "id={} addr={} name={} age={} db={} resp={} lib-name={} lib-ver={}",
            self.id,
            address.unwrap_or_else(|| "?:0".to_owned()),
            said.name,
            now.since(self.opened).as_secs(),
            said.database,
            said.version.number(),
            said.lib_name,
            said.lib_version,
        )
    }
}
