//! etcd's requests and answers, decided on the state. Pure.
//!
//! What the subset leaves out is refused by name, never ignored.

use std::collections::BTreeSet;

use bytes::Bytes;
use etcd_client::CompareOp;
use etcd_client::proto::{
    PbCompare, PbCompareTarget, PbDeleteRequest, PbDeleteResponse, PbKeyValue, PbPutRequest,
    PbPutResponse, PbRangeRequest, PbRangeResponse, PbResponseHeader, PbResponseOp, PbTargetUnion,
    PbTxnOpRequest, PbTxnOpResponse, PbTxnRequest, PbTxnRequestOp, PbTxnResponse,
};
use prost::Message;

use super::state::{Batch, Kv, Refusal, Span, State};

/// etcd's `--max-txn-ops`.
const OPERATIONS_MAX: usize = 128;

/// etcd's `--max-request-bytes`.
const REQUEST_BYTES_MAX: usize = 3 << 19;

/// The head of an answer. There is one member, in one cluster, in its first term.
pub(super) fn header(revision: i64) -> Option<PbResponseHeader> {
    Some(PbResponseHeader {
        cluster_id: 1,
        member_id: 1,
        revision,
        raft_term: 1,
    })
}

pub(super) fn range(state: &State, request: PbRangeRequest) -> Result<PbRangeResponse, Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    let unsupported = [
        (request.revision != 0, "range at a past revision"),
        (
            request.sort_order != 0 || request.sort_target != 0,
            "range with an order",
        ),
        (request.max_mod_revision != 0, "range up to a revision"),
        (request.min_create_revision != 0, "range by creation"),
        (request.max_create_revision != 0, "range by creation"),
    ];
    refuse(&unsupported)?;
    let span = Span::new(request.key, request.range_end);
    // As etcd does: the count is of the whole span, whatever is left out of the answer.
    let count = state.range(&span).count() as i64;
    let limit = if request.limit > 0 {
        request.limit as usize
    } else {
        usize::MAX
    };
    let mut kvs: Vec<PbKeyValue> = Vec::new();
    let mut more = false;
    if !request.count_only {
        let mut found = state
            .range(&span)
            .filter(|kv| kv.mod_revision >= request.min_mod_revision);
        kvs.extend(
            found
                .by_ref()
                .take(limit)
                .map(|kv| pb_kv(kv, request.keys_only)),
        );
        more = found.next().is_some();
    }
    Ok(PbRangeResponse {
        header: header(state.revision()),
        kvs,
        more,
        count,
    })
}

pub(super) fn put(state: &mut State, request: PbPutRequest) -> Result<PbPutResponse, Refusal> {
    check_size(&request)?;
    check_put(&request)?;
    check_room(state, std::iter::once(&request))?;
    carry_out_put(&mut state.write(), request);
    Ok(PbPutResponse {
        header: header(state.revision()),
        prev_kv: None,
    })
}

pub(super) fn delete(
    state: &mut State,
    request: PbDeleteRequest,
) -> Result<PbDeleteResponse, Refusal> {
    check_delete(&request)?;
    let deleted = carry_out_delete(&mut state.write(), request);
    Ok(PbDeleteResponse {
        header: header(state.revision()),
        deleted,
        prev_kvs: Vec::new(),
    })
}

pub(super) fn txn(state: &mut State, request: PbTxnRequest) -> Result<PbTxnResponse, Refusal> {
    check_size(&request)?;
    let most = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    if most > OPERATIONS_MAX {
        return Err(Refusal::TooManyOperations);
    }
    let success = writes(request.success)?;
    let failure = writes(request.failure)?;
    let mut succeeded = true;
    for compare in &request.compare {
        succeeded &= holds(state, compare)?;
    }
    let taken = if succeeded { success } else { failure };
    let puts = taken.iter().filter_map(|write| match write {
        Write::Put(put) => Some(put),
        Write::Delete(_) => None,
    });
    check_room(state, puts)?;
    let mut batch = state.write();
    let responses = taken
        .into_iter()
        .map(|operation| carry_out(&mut batch, operation))
        .collect();
    drop(batch);
    Ok(PbTxnResponse {
        header: header(state.revision()),
        succeeded,
        responses,
    })
}

pub(super) fn pb_kv(kv: &Kv, key_only: bool) -> PbKeyValue {
    PbKeyValue {
        key: kv.key.to_vec(),
        value: if key_only {
            Vec::new()
        } else {
            kv.value.to_vec()
        },
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}

/// A compare on a key that is not there sees zeroes and an empty value.
fn holds(state: &State, compare: &PbCompare) -> Result<bool, Refusal> {
    if compare.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    refuse(&[(!compare.range_end.is_empty(), "compare of a range")])?;
    let kv = state.get(&compare.key).cloned().unwrap_or_default();
    // The target says what is meant when the value is a zero that was not sent.
    let (wanted, value) = match &compare.target_union {
        Some(PbTargetUnion::Value(value)) => (0, Some(value)),
        Some(
            PbTargetUnion::Version(wanted)
            | PbTargetUnion::CreateRevision(wanted)
            | PbTargetUnion::ModRevision(wanted)
            | PbTargetUnion::Lease(wanted),
        ) => (*wanted, None),
        None => (0, None),
    };
    let target = PbCompareTarget::try_from(compare.target);
    let order = match target.map_err(|_| Refusal::Unsupported("compare of that target"))? {
        PbCompareTarget::Version => kv.version.cmp(&wanted),
        PbCompareTarget::Create => kv.create_revision.cmp(&wanted),
        PbCompareTarget::Mod => kv.mod_revision.cmp(&wanted),
        PbCompareTarget::Lease => kv.lease.cmp(&wanted),
        PbCompareTarget::Value => kv.value.as_ref().cmp(value.map_or(&[][..], Vec::as_slice)),
    };
    const EQUAL: i32 = CompareOp::Equal as i32;
    const GREATER: i32 = CompareOp::Greater as i32;
    const LESS: i32 = CompareOp::Less as i32;
    const NOT_EQUAL: i32 = CompareOp::NotEqual as i32;
    match compare.result {
        EQUAL => Ok(order.is_eq()),
        GREATER => Ok(order.is_gt()),
        LESS => Ok(order.is_lt()),
        NOT_EQUAL => Ok(order.is_ne()),
        _ => Err(Refusal::Unsupported("compare of that kind")),
    }
}

/// What a transaction of the subset can do.
enum Write {
    Put(PbPutRequest),
    Delete(PbDeleteRequest),
}

/// Checks one branch of a transaction: no key may be changed twice.
fn writes(branch: Vec<PbTxnRequestOp>) -> Result<Vec<Write>, Refusal> {
    let mut writes = Vec::with_capacity(branch.len());
    let (mut puts, mut deletes) = (BTreeSet::new(), Vec::new());
    for operation in branch {
        writes.push(match operation.request {
            Some(PbTxnOpRequest::RequestPut(put)) => {
                check_put(&put)?;
                if !puts.insert(Bytes::copy_from_slice(&put.key)) {
                    return Err(Refusal::DuplicateKey);
                }
                Write::Put(put)
            }
            Some(PbTxnOpRequest::RequestDeleteRange(delete)) => {
                check_delete(&delete)?;
                deletes.push(Span::new(delete.key.clone(), delete.range_end.clone()));
                Write::Delete(delete)
            }
            Some(PbTxnOpRequest::RequestRange(_)) => {
                return Err(Refusal::Unsupported("range inside a transaction"));
            }
            Some(PbTxnOpRequest::RequestTxn(_)) => {
                return Err(Refusal::Unsupported("transaction inside a transaction"));
            }
            None => return Err(Refusal::EmptyKey),
        });
    }
    if puts
        .iter()
        .any(|key| deletes.iter().any(|span| span.contains(key)))
    {
        return Err(Refusal::DuplicateKey);
    }
    Ok(writes)
}

fn check_size(request: &impl Message) -> Result<(), Refusal> {
    if request.encoded_len() > REQUEST_BYTES_MAX {
        return Err(Refusal::RequestTooLarge);
    }
    Ok(())
}

fn check_put(put: &PbPutRequest) -> Result<(), Refusal> {
    if put.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    refuse(&[
        (put.prev_kv, "put with the previous value"),
        (put.ignore_value, "put of a lease alone"),
        (put.ignore_lease, "put of a value alone"),
    ])
}

fn check_delete(delete: &PbDeleteRequest) -> Result<(), Refusal> {
    if delete.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    refuse(&[(delete.prev_kv, "delete with the previous values")])
}

/// Before anything is changed: the leases are there and the values fit.
fn check_room<'a>(
    state: &State,
    puts: impl Iterator<Item = &'a PbPutRequest>,
) -> Result<(), Refusal> {
    let mut bytes = 0;
    for put in puts {
        if put.lease != 0 && !state.has_lease(put.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        bytes += put.key.len() + put.value.len();
    }
    if bytes > 0 && !state.has_space(bytes) {
        return Err(Refusal::NoSpace);
    }
    Ok(())
}

fn carry_out(batch: &mut Batch<'_>, write: Write) -> PbResponseOp {
    let response = match write {
        Write::Put(put) => {
            carry_out_put(batch, put);
            PbTxnOpResponse::ResponsePut(PbPutResponse::default())
        }
        Write::Delete(delete) => {
            let deleted = carry_out_delete(batch, delete);
            let answer = PbDeleteResponse {
                deleted,
                ..PbDeleteResponse::default()
            };
            PbTxnOpResponse::ResponseDeleteRange(answer)
        }
    };
    PbResponseOp {
        response: Some(response),
    }
}

fn carry_out_put(batch: &mut Batch<'_>, put: PbPutRequest) {
    batch.put(put.key.into(), put.value.into(), put.lease);
}

fn carry_out_delete(batch: &mut Batch<'_>, delete: PbDeleteRequest) -> i64 {
    batch.delete(&Span::new(delete.key, delete.range_end)) as i64
}

fn refuse(unsupported: &[(bool, &'static str)]) -> Result<(), Refusal> {
    match unsupported.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(Refusal::Unsupported(what)),
        None => Ok(()),
    }
}
