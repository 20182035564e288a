//! Whom to ask: the seeds, and the members that they told of. Shared by all streams.

use std::sync::Arc;
use std::time::Duration;

use cached_client::{Admin, Client};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Mutex, Notify, OnceCell};

use super::record::Recorder;
use crate::commands;
use crate::error::CliError;
use crate::settings::Settings;
use crate::top::message::{Message, Told};

/// What all streams share.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    known: Mutex<Known>,
    client: OnceCell<Client>,
    sender: Sender<Message>,
    recorder: Option<Recorder>,
    /// Woken when somebody wants everything to be tried again now.
    pub retry: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// Seeds and members.
    addresses: Vec<String>,
    /// Calls to all of them.
    admin: Option<Admin>,
    /// Members that live: name and address.
    members: Vec<(String, String)>,
    /// Who told the topology: asked first, so that one node bears it.
    current: Option<String>,
}

impl Hub {
    /// Nobody is known yet.
    pub fn new(
        settings: Settings,
        sender: Sender<Message>,
        recorder: Option<Recorder>,
    ) -> Arc<Self> {
        Arc::new(Self {
            settings,
            known: Mutex::default(),
            client: OnceCell::new(),
            sender,
            recorder,
            retry: Notify::new(),
        })
    }

    /// Calls to everybody who may answer.
    pub async fn everybody(&self) -> Result<Admin, CliError> {
        let mut known = self.known.lock().await;
        if let Some(admin) = &known.admin {
            return Ok(admin.clone());
        }
        let seeds = commands::endpoints(&self.settings).await?;
        known.addresses = seeds;
        let admin = self.admin(&known.addresses)?;
        known.admin = Some(admin.clone());
        Ok(admin)
    }

    fn admin(&self, addresses: &[String]) -> Result<Admin, CliError> {
        let options = &self.settings.options;
        Ok(Admin::new(
            options.connect.clone(),
            addresses,
            options.timeout,
        )?)
    }

    /// Calls to the node that told the topology, if one did.
    pub async fn one(&self) -> Result<Option<Admin>, CliError> {
        let admin = self.everybody().await?;
        let known = self.known.lock().await;
        Ok(known
            .current
            .as_ref()
            .map(|current| admin.at(current.clone())))
    }

    /// A node told the topology, with members at these addresses.
    pub async fn learn(
        &self,
        current: &str,
        members: Vec<(String, String)>,
    ) -> Result<(), CliError> {
        let mut known = self.known.lock().await;
        known.current = Some(current.to_owned());
        let mut addresses = self.settings.endpoints.clone();
        for (_, member) in &members {
            if !addresses.contains(member) {
                addresses.push(member.clone());
            }
        }
        known.members = members;
        if !addresses.is_empty() && addresses != known.addresses {
            known.admin = Some(self.admin(&addresses)?);
            known.addresses = addresses;
        }
        Ok(())
    }

    /// Members that live: name and address.
    pub async fn members(&self) -> Vec<(String, String)> {
        self.known.lock().await.members.clone()
    }

    /// It does not answer any more.
    pub async fn forget(&self) {
        self.known.lock().await.current = None;
    }

    /// A client for keys; it connects when first used.
    pub async fn client(&self) -> Result<Client, CliError> {
        let connect = || Client::connect(self.settings.options.clone());
        Ok(self.client.get_or_try_init(connect).await?.clone())
    }

    /// Hands over what a stream said, and writes it down where that is wanted. False: the
    /// screen is gone.
    pub async fn tell(&self, told: Told) -> bool {
        if let Some(recorder) = &self.recorder {
            recorder.write(&told);
        }
        self.sender.send(Message::Told(told)).await.is_ok()
    }

    /// Nobody looks any more.
    pub fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits, unless somebody wants it now.
    pub async fn pause(&self, pause: Duration) {
        let _ = tokio::time::timeout(pause, self.retry.notified()).await;
    }
}
