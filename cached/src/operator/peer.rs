//! What other nodes ask of this one. Answered from memory: nothing here calls
//! another node, so that two nodes can never wait for each other.

use std::time::Duration;

use cached_proto::convert::{member_id, member_state_to_pb};
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::pb::cached::peer::v1::{
    Header, OpinionRequest, OpinionResponse, ProbeResponse, ReportRequest, Suspect,
    opinion_response,
};
use cached_proto::types::{Invalid, NodeName};

use super::{Operator, me};
use crate::cluster::view::ClusterView;
use crate::peers;

/// Most suspects of one report: every member of the largest cluster.
const SUSPECTS_MAX: usize = cached_proto::limits::MEMBERS_MAX;

/// Longest error text of a report that is kept, in characters: one line of a log.
const ERROR_CHARS_MAX: usize = 200;

impl Operator {
    /// Refuses messages from another cluster, and those not meant for this life of
    /// this member or sent to a gateway. On the path of every forwarded operation.
    pub fn check_header(&self, header: Option<&Header>) -> Result<(), Failure> {
        let view = self.parts.view.load();
        let header = self.check_sender(header, &view)?;
        if header.to.is_empty() {
            let problem = "does not say which life of the member is meant";
            return Err(Invalid::new("header", problem).into());
        }
        self.check_life(header, &view)
    }

    /// The same for probes, which may be meant for whoever listens here.
    pub fn check_probe_header(&self, header: Option<&Header>) -> Result<(), Failure> {
        let view = self.parts.view.load();
        let header = self.check_sender(header, &view)?;
        if header.to.is_empty() {
            return Ok(());
        }
        self.check_life(header, &view)
    }

    fn check_sender<'a>(
        &self,
        header: Option<&'a Header>,
        view: &ClusterView,
    ) -> Result<&'a Header, Failure> {
        if self.parts.name.is_none() {
            let message = "this is a gateway, which is no member; ask a node";
            return Err(Failure::new(FailureCode::Unsupported, message));
        }
        let Some(header) = header else {
            return Err(Invalid::new("header", "is missing; peers say who they are").into());
        };
        self.check_cluster(header, view)?;
        Ok(header)
    }

    fn check_life(&self, header: &Header, view: &ClusterView) -> Result<(), Failure> {
        let meant = header.to.parse().ok();
        if meant.is_some() && meant == me(view).map(|member| member.id.inc) {
            return Ok(());
        }
        let (name, to) = (self.shown_name(), &header.to);
        let message = format!("this is not the life {to} of {name} that the message is meant for");
        // The sender's picture is older than this process; it will learn.
        Err(Failure::new(FailureCode::Unavailable, message))
    }

    fn check_cluster(&self, header: &Header, view: &ClusterView) -> Result<(), Failure> {
        let (own, theirs) = (self.parts.cluster_name.as_str(), header.cluster.as_str());
        if theirs != own {
            let problem = format!("{theirs:?} is the sender's, this node's is {own:?}");
            return Err(Invalid::new("cluster", problem).into());
        }
        // Before a process has read the cluster's identity it sends none and knows none.
        let Some(meta) = view
            .meta
            .as_ref()
            .filter(|_| !header.cluster_uuid.is_empty())
        else {
            return Ok(());
        };
        if header.cluster_uuid.parse() == Ok(meta.cluster_uuid) {
            return Ok(());
        }
        let (uuid, theirs) = (meta.cluster_uuid, &header.cluster_uuid);
        let problem = format!("{own:?} has the identity {theirs:?} there and {uuid} here");
        Err(Invalid::new("cluster", problem).into())
    }

    /// The header of this process's answers.
    fn header(&self) -> Header {
        let view = self.parts.view.load();
        let meta = view.meta.as_ref();
        Header {
            cluster: self.parts.cluster_name.to_string(),
            cluster_uuid: meta
                .map(|meta| meta.cluster_uuid.to_string())
                .unwrap_or_default(),
            generation: meta.map_or(0, |meta| meta.generation),
            ..Header::default()
        }
    }

    /// Says which life answers, and whether it serves.
    pub fn on_probe(&self) -> ProbeResponse {
        let answer = self.parts.cluster.on_probe();
        let mut header = self.header();
        header.name = answer.id.name.to_string();
        header.incarnation = answer.id.inc.to_string();
        header.layout = answer.layout;
        ProbeResponse {
            header: Some(header),
            fenced: answer.fenced,
            registry_reachable: answer.registry_reachable,
            wall_clock_ms: answer.wall_clock_ms,
            state: member_state_to_pb(Some(answer.state)).into(),
        }
    }

    /// Takes a member's report of whom it suspects.
    pub fn on_report(&self, report: ReportRequest) -> Result<(), Failure> {
        if report.suspects.len() > SUSPECTS_MAX {
            let problem = format!("are {}; the limit is {SUSPECTS_MAX}", report.suspects.len());
            return Err(Invalid::new("suspects", problem).into());
        }
        let name = report.header.map(|header| header.name).unwrap_or_default();
        if name.is_empty() {
            let message = "only members report whom they suspect";
            return Err(Failure::new(FailureCode::PermissionDenied, message));
        }
        let suspects = report
            .suspects
            .into_iter()
            .map(read_suspect)
            .collect::<Result<_, _>>()?;
        self.parts.cluster.on_report(NodeName::new(name)?, suspects);
        Ok(())
    }

    /// Answers what this node knows of a member.
    pub fn on_opinion(&self, request: &OpinionRequest) -> Result<OpinionResponse, Failure> {
        let about = peers::Peer {
            id: member_id(&request.name, &request.incarnation)?,
            address: request.address.clone(),
        };
        let fresh = Duration::from_millis(request.fresh_ms);
        let verdict = match self.parts.cluster.on_opinion(&about, fresh) {
            peers::Verdict::Unknown => opinion_response::Verdict::Unknown,
            peers::Verdict::Answers => opinion_response::Verdict::Answers,
            peers::Verdict::Silent => opinion_response::Verdict::Silent,
        };
        Ok(OpinionResponse {
            verdict: verdict.into(),
            detail: String::new(),
        })
    }
}

fn read_suspect(suspect: Suspect) -> Result<peers::Suspect, Invalid> {
    Ok(peers::Suspect {
        id: member_id(&suspect.name, &suspect.incarnation)?,
        misses: suspect.misses,
        last_error: suspect.last_error.chars().take(ERROR_CHARS_MAX).collect(),
    })
}
