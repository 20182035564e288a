//! Transfers of a node that is not whole: for the tests of other parts.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Told, TransferParts, Transfers};
use crate::clock::Clock;
use crate::cluster::view::ViewCell;
use crate::peers::Peers;
use crate::store::Store;
use crate::tasks::Tasks;

/// Transfers with everything of their own that is not given.
pub(crate) fn transfers(
    store: &Arc<Store>,
    view: &Arc<ViewCell>,
    clock: &Clock,
    tasks: &Tasks,
    peers: Arc<dyn Peers>,
) -> (Arc<Transfers>, mpsc::Receiver<Told>) {
    Transfers::new(TransferParts {
        store: store.clone(),
        peers,
        view: view.clone(),
        parking: Arc::default(),
        counters: Arc::default(),
        clock: clock.clone(),
        tasks: tasks.clone(),
    })
}
