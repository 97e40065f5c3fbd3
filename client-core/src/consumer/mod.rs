//! Receiving.
//!
//! ```text
//! rebalance ──► queues that are mine ──► pull (one task each) ──► process_queue ──► ready
//!     ▲                                                               │  ▲            │
//! members, routes                              offsets ◄── commit ◄───┘  │            ▼
//!                                                                 ack, nack ◄── handler | stream
//! ```

mod assigned;
mod assignment;
mod builder;
mod commit;
mod core;
mod delay_level;
mod delivery;
mod drain;
mod membership;
mod process_queue;
mod pull;
mod push;
mod ready;
mod rebalance;
mod send_back;
mod start_offset;
mod stream;
mod subscription;

pub use builder::{ConsumeFrom, PushConsumerBuilder};
pub use delivery::{Delivery, DeliveryHandle};
pub use drain::DrainReport;
pub use push::{Ack, HandlerError, PushConsumer};
pub use ready::Taken;
pub use send_back::Verdict;
pub use stream::ConsumerStream;
pub use subscription::Selector;
