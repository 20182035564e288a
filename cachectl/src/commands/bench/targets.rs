//! Who is asked for a key.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use cached_client::Client;
use cached_client::address::Address;
use cached_client::topology::{Member, Topology};
use cached_client::types::Key;

use crate::args::bench::Route;
use crate::error::{CliError, Code};

/// The servers of a load, each with a number that stays.
#[derive(Debug)]
pub struct Targets {
    /// Knows the cluster; `None`: servers without one.
    cluster: Option<(Client, Route)>,
    /// Numbers of those that were named.
    named: Vec<usize>,
    known: RefCell<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Name and `host:port`, by number.
    servers: Vec<(String, String)>,
    numbers: BTreeMap<String, usize>,
}

impl Known {
    /// The number of an address, under this name if it is new.
    fn number(&mut self, name: &str, address: &str) -> usize {
        if let Some(number) = self.numbers.get(address) {
            return *number;
        }
        let number = self.servers.len();
        self.servers.push((name.to_owned(), address.to_owned()));
        self.numbers.insert(address.to_owned(), number);
        number
    }
}

impl Targets {
    /// Servers that are asked as they are named, `host:port` each.
    pub fn servers(addresses: &[String]) -> Result<Self, CliError> {
        let mut known = Known::default();
        let mut named = Vec::new();
        for address in addresses {
            let authority = Address::parse(address)?.authority;
            named.push(known.number(&authority, &authority));
        }
        Ok(Self {
            cluster: None,
            named,
            known: RefCell::new(known),
        })
    }

    /// The nodes of a cluster, which `client` follows; `endpoints` are those named.
    pub fn cluster(client: Client, route: Route, endpoints: &[String]) -> Result<Self, CliError> {
        let mut targets = Self::servers(endpoints)?;
        let topology = client.topology();
        let living = topology.members.iter().filter(|it| !it.address.is_empty());
        if route == Route::Other && living.count() < 2 {
            return Err(CliError::usage(
                "--route other needs two nodes: nobody else could be asked here",
            ));
        }
        let mut known = targets.known.take();
        for (name, address) in &mut known.servers {
            let member = topology.members.iter().find(|it| it.address == *address);
            if let Some(member) = member {
                *name = member.id.name.to_string();
            }
        }
        targets.known = RefCell::new(known);
        targets.cluster = Some((client, route));
        Ok(targets)
    }

    /// The server that client number `client` asks for a key.
    pub fn choose(&self, key: &Bytes, client: usize) -> Result<usize, CliError> {
        if let Some((cluster, route)) = &self.cluster
            && let Ok(key) = Key::new(key.clone())
            && let Some(member) = pick(&cluster.topology(), *route, &key, client)
        {
            let mut known = self.known.borrow_mut();
            return Ok(known.number(member.id.name.as_str(), &member.address));
        }
        let turn = client.checked_rem(self.named.len());
        match turn.and_then(|turn| self.named.get(turn)) {
            Some(number) => Ok(*number),
            None => self.anybody(client),
        }
    }

    /// Any living member: no endpoint was named, the cluster was found through etcd.
    fn anybody(&self, client: usize) -> Result<usize, CliError> {
        let nobody = || CliError::new(Code::Unreachable, "the cluster has no members now");
        let (cluster, _) = self.cluster.as_ref().ok_or_else(nobody)?;
        let topology = cluster.topology();
        let living: Vec<_> = living(&topology).collect();
        let turn = client.checked_rem(living.len()).ok_or_else(nobody)?;
        let member = living.get(turn).ok_or_else(nobody)?;
        let mut known = self.known.borrow_mut();
        Ok(known.number(member.id.name.as_str(), &member.address))
    }

    /// Numbers of the servers that may be asked, at most so many.
    pub fn all(&self, max: usize) -> Vec<usize> {
        let Some((cluster, Route::Owner | Route::Other)) = &self.cluster else {
            return self.named.iter().copied().take(max).collect();
        };
        let topology = cluster.topology();
        let mut known = self.known.borrow_mut();
        living(&topology)
            .take(max)
            .map(|member| known.number(member.id.name.as_str(), &member.address))
            .collect()
    }

    /// `host:port` of a server.
    pub fn address(&self, number: usize) -> String {
        let known = self.known.borrow();
        let server = known.servers.get(number);
        server.map(|it| it.1.clone()).unwrap_or_default()
    }

    /// Name and `host:port` of every server so far, by number.
    pub fn known(&self) -> Vec<(String, String)> {
        self.known.borrow().servers.clone()
    }
}

fn living(topology: &Topology) -> impl Iterator<Item = &Member> {
    topology.members.iter().filter(|it| !it.address.is_empty())
}

/// The member to ask; `None`: one of the endpoints.
fn pick<'a>(topology: &'a Topology, route: Route, key: &Key, client: usize) -> Option<&'a Member> {
    let owner = topology.owner(topology.slot_of(key)).map(|it| it.0);
    match route {
        Route::Endpoint => None,
        Route::Owner => owner.filter(|owner| !owner.address.is_empty()),
        Route::Other => {
            let others: Vec<_> = living(topology)
                .filter(|it| Some(&it.id) != owner.map(|owner| &owner.id))
                .collect();
            let turn = client.checked_rem(others.len())?;
            others.get(turn).copied()
        }
    }
}
