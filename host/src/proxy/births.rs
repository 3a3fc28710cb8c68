//! The making of instances that workers order.

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use crate::plugin::Order;

/// Makes the instances that workers order, off their threads: no more at a time than there are cores,
/// or a burst of orders would leave the workers little of these.
pub(super) async fn births(mut orders: mpsc::Receiver<Order>) {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let midwives = Arc::new(Semaphore::new(cores.max(2)));
    while let Some(Order { definition, reply }) = orders.recv().await {
        let Ok(midwife) = Arc::clone(&midwives).acquire_owned().await else { return };
        tokio::spawn(async move {
            let _midwife = midwife;
            let born = definition.birth_apart().await;
            // A worker that has ended needs no instance any more.
            let _ = reply.send(born);
        });
    }
}
