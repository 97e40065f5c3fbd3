//! The tokio runtime, and what one JavaScript thread shares with the client's tasks.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Error, Result, Status};
use napi_derive::napi;
use oxmq::completions::{Bell, Completion, Completions, Outcome};
use oxmq::{Client, Credentials, Receipt, Selector, StoredStatus};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::consumer::{ConsumerOptions, DrainFields, NativeConsumer, Subscription};
use crate::error::ErrorFields;
use crate::producer::{NativeProducer, ProducerOptions, ReceiptFields};
use crate::testing::NativeBroker;

/// More threads than this do not make one process's client faster.
const MAX_THREADS: usize = 4;

/// The runtime of all clients of the process, started with the first.
pub(crate) fn runtime() -> Result<Handle> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let threads = available_parallelism().map_or(1, |count| count.get().min(MAX_THREADS));
        Builder::new_multi_thread().worker_threads(threads).thread_name("oxmq").enable_all().build()
    });
    match runtime {
        Ok(runtime) => Ok(runtime.handle().clone()),
        Err(error) => Err(Error::from_reason(format!("oxmq cannot start its threads: {error}"))),
    }
}

/// The JavaScript function that drains. Weak: it does not keep the process running.
type KickFunction = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Rings by having the JavaScript thread call its `kick`.
pub(crate) struct Kick(KickFunction);

impl Bell for Kick {
    fn ring(&self) {
        // Fails once the JavaScript thread has ended: then nobody listens.
        self.0.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

/// Hands a shared bell to those who want one of their own.
struct SharedKick(Arc<Kick>);

impl Bell for SharedKick {
    fn ring(&self) {
        self.0.ring();
    }
}

/// Something that a call made, until JavaScript fetches it by the call's tag.
pub(crate) enum Made {
    Client(Client),
    Producer(oxmq::Producer),
    Consumer(oxmq::ConsumerStream),
    Broker(NativeBroker),
    Failed(ErrorFields),
    Nothing,
}

/// What the client's tasks know of a JavaScript thread.
pub(crate) struct Shared {
    pub(crate) completions: Arc<Completions>,
    pub(crate) kick: Arc<Kick>,
    made: Mutex<HashMap<u64, Made>>,
}

impl Shared {
    fn made(&self) -> MutexGuard<'_, HashMap<u64, Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a call whose outcome is a value that no completion can carry.
    pub(crate) fn make(
        self: &Arc<Self>,
        tag: u64,
        call: impl Future<Output = std::result::Result<Made, oxmq::Error>> + Send + 'static,
    ) -> Result<()> {
        let shared = self.clone();
        runtime()?.spawn(async move {
            let outcome = call.await.map(|made| {
                if !matches!(made, Made::Nothing) {
                    shared.made().insert(tag, made);
                }
                Outcome::Done
            });
            shared.completions.push(Completion { tag, outcome });
        });
        Ok(())
    }

    /// Runs a call whose outcome fits in a completion.
    pub(crate) fn run(
        self: &Arc<Self>,
        tag: u64,
        call: impl Future<Output = std::result::Result<Outcome, oxmq::Error>> + Send + 'static,
    ) -> Result<()> {
        let shared = self.clone();
        runtime()?.spawn(async move {
            let outcome = call.await;
            shared.completions.push(Completion { tag, outcome });
        });
        Ok(())
    }
}

/// An outcome that is more than numbers.
#[napi(object, object_from_js = false)]
#[derive(Debug, Default)]
pub struct Detail {
    /// It failed.
    pub error: Option<ErrorFields>,
    /// A consumer was drained.
    pub drained: Option<DrainFields>,
    /// A send whose texts are too long for the text buffer, or that can be taken back.
    pub receipt: Option<ReceiptFields>,
}

/// How a client is set up. Not `Debug`: a secret is in it.
#[napi(object)]
pub struct ConnectOptions {
    /// First part of the client's id.
    pub instance_name: Option<String>,
    /// Advertised and real addresses, in turn.
    pub address_map: Option<Vec<String>>,
    /// The user that signs.
    pub access_key: Option<String>,
    /// That user's secret.
    pub secret_key: Option<String>,
    /// Time allowed for reaching a name server.
    pub connect_timeout_ms: Option<f64>,
}

/// A number of milliseconds that JavaScript gave; what is none is no time at all.
pub(crate) fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or(if ms > 0.0 {
        Duration::MAX
    } else {
        Duration::ZERO
    })
}

/// A tag: JavaScript counts calls in whole numbers.
#[expect(clippy::cast_possible_truncation, reason = "tags are whole and below 2^53")]
pub(crate) fn tag(number: f64) -> u64 {
    number as u64
}

/// Slots before the first record: how many records follow, and whether there is more to drain.
const HEAD: usize = 2;
/// Slots of a record: tag, kind, status, queue id, queue offset, attempts, and the lengths of
/// message id, offset message id and broker name, whose bytes follow each other in the text.
const STRIDE: usize = 9;
/// Kinds of records.
const STORED: f64 = 0.0;
const DONE: f64 = 1.0;
const DETAIL: f64 = 2.0;

/// JavaScript's `Float64Array`, written in place. The alias is for napi's macro, which takes a plain
/// `&mut` for an object of ours.
pub(crate) type Numbers<'a> = &'a mut [f64];
/// JavaScript's `Uint8Array`, written in place.
pub(crate) type Text<'a> = &'a mut [u8];

/// One JavaScript thread's end of everything: its calls' outcomes come out of here.
#[napi]
pub struct Hub {
    shared: Arc<Shared>,
    /// Taken from the queue, not written yet.
    taken: RefCell<VecDeque<Completion>>,
    details: RefCell<VecDeque<Detail>>,
}

#[napi]
impl Hub {
    /// `kick` is called, in its turn of the event loop, when there is something to drain or take.
    #[napi(constructor)]
    pub fn new(kick: Function<'_, (), ()>) -> Result<Self> {
        let kick = kick
            .build_threadsafe_function::<()>()
            .callee_handled::<false>()
            .weak::<true>()
            .build()?;
        let kick = Arc::new(Kick(kick));
        let completions = Arc::new(Completions::new(Box::new(SharedKick(kick.clone()))));
        Ok(Self {
            shared: Arc::new(Shared { completions, kick, made: Mutex::default() }),
            taken: RefCell::default(),
            details: RefCell::default(),
        })
    }

    /// Writes outcomes, as many as fit. `numbers`: how many, whether there are more, and a record
    /// for each.
    #[napi]
    pub fn drain(&self, numbers: Numbers<'_>, text: Text<'_>) {
        let mut taken = self.taken.borrow_mut();
        let Some((head, records)) = numbers.split_at_mut_checked(HEAD) else { return };
        let records = records.chunks_exact_mut(STRIDE);
        let mut has_more = false;
        if taken.is_empty() {
            let mut batch = Vec::with_capacity(records.len());
            has_more = self.shared.completions.drain(&mut batch, records.len());
            *taken = batch.into();
        }
        let (mut count, mut room) = (0_u32, text);
        for record in records {
            let Some(completion) = taken.pop_front() else { break };
            let fits = match &completion.outcome {
                Ok(Outcome::Receipt(receipt)) => text_bytes(receipt) <= room.len(),
                _ => true,
            };
            if !fits && count > 0 {
                taken.push_front(completion);
                break;
            }
            room = self.write(completion, record, room);
            count += 1;
        }
        let has_more = has_more || !taken.is_empty();
        head.copy_from_slice(&[f64::from(count), f64::from(u8::from(has_more))]);
    }

    /// The detail of the next record of that kind.
    #[napi]
    pub fn detail(&self) -> Option<Detail> {
        self.details.borrow_mut().pop_front()
    }

    /// Begins to connect.
    #[napi]
    pub fn connect(
        &self,
        number: f64,
        name_servers: String,
        options: ConnectOptions,
    ) -> Result<()> {
        let mut builder = Client::builder(name_servers);
        if let Some(name) = options.instance_name {
            builder = builder.instance_name(name);
        }
        if let Some(map) = options.address_map {
            let pairs = map.chunks_exact(2).filter_map(|pair| match pair {
                [advertised, real] => Some((advertised.clone(), real.clone())),
                _ => None,
            });
            builder = builder.address_map(pairs);
        }
        if let (Some(access_key), Some(secret_key)) = (options.access_key, options.secret_key) {
            builder = builder.credentials(Credentials::new(access_key, secret_key));
        }
        if let Some(ms) = options.connect_timeout_ms {
            builder = builder.connect_timeout(millis(ms));
        }
        self.shared.make(tag(number), async { builder.connect().await.map(Made::Client) })
    }

    /// The client that a call made.
    #[napi]
    pub fn take_client(&self, number: f64) -> Option<NativeClient> {
        match self.shared.made().remove(&tag(number))? {
            Made::Client(client) => Some(NativeClient { client, shared: self.shared.clone() }),
            _ => None,
        }
    }

    /// The producer that a call made.
    #[napi]
    pub fn take_producer(&self, number: f64) -> Option<NativeProducer> {
        match self.shared.made().remove(&tag(number))? {
            Made::Producer(producer) => Some(NativeProducer::new(producer, self.shared.clone())),
            _ => None,
        }
    }

    /// The consumer that a call made.
    #[napi]
    pub fn take_consumer(&self, number: f64) -> Option<NativeConsumer> {
        match self.shared.made().remove(&tag(number))? {
            Made::Consumer(stream) => Some(NativeConsumer::new(stream, self.shared.clone())),
            _ => None,
        }
    }

    /// The embedded broker that a call made.
    #[napi]
    pub fn take_broker(&self, number: f64) -> Option<NativeBroker> {
        match self.shared.made().remove(&tag(number))? {
            Made::Broker(broker) => Some(broker),
            _ => None,
        }
    }

    /// Why a call to the embedded broker failed, if it did.
    #[napi]
    pub fn take_failure(&self, number: f64) -> Option<ErrorFields> {
        let mut made = self.shared.made();
        if !matches!(made.get(&tag(number))?, Made::Failed(_)) {
            return None;
        }
        match made.remove(&tag(number))? {
            Made::Failed(fields) => Some(fields),
            _ => None,
        }
    }
}

impl Hub {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Writes one record and its text; returns the room that is left.
    fn write<'t>(
        &self,
        completion: Completion,
        record: &mut [f64],
        room: &'t mut [u8],
    ) -> &'t mut [u8] {
        let receipt = match completion.outcome {
            Ok(Outcome::Receipt(receipt))
                if receipt.recall_handle.is_none() && text_bytes(&receipt) <= room.len() =>
            {
                receipt
            }
            other => {
                self.write_other(completion.tag, other, record);
                return room;
            }
        };
        let status = match receipt.status {
            StoredStatus::Stored => 0.0,
            StoredStatus::FlushDiskTimeout => 1.0,
            StoredStatus::FlushSlaveTimeout => 2.0,
            StoredStatus::SlaveNotAvailable => 3.0,
        };
        let (room, id) = put(room, &receipt.message_id);
        let (room, offset_id) = put(room, &receipt.offset_message_id);
        let (room, broker) = put(room, &receipt.queue.broker_name);
        record.copy_from_slice(&[
            as_number(completion.tag),
            STORED,
            status,
            f64::from(receipt.queue.queue_id),
            offset_number(receipt.queue_offset),
            f64::from(receipt.attempts),
            id,
            offset_id,
            broker,
        ]);
        room
    }

    fn write_other(
        &self,
        tag: u64,
        outcome: std::result::Result<Outcome, oxmq::Error>,
        record: &mut [f64],
    ) {
        let detail = match outcome {
            Ok(Outcome::Done) => None,
            Ok(Outcome::Receipt(receipt)) => {
                Some(Detail { receipt: Some((&receipt).into()), ..Detail::default() })
            }
            Ok(Outcome::Drained(report)) => {
                Some(Detail { drained: Some(report.into()), ..Detail::default() })
            }
            // An outcome made after this release: the call went well.
            Ok(_) => None,
            Err(error) => Some(Detail { error: Some((&error).into()), ..Detail::default() }),
        };
        record.fill(0.0);
        let kind = if detail.is_some() { DETAIL } else { DONE };
        if let [tag_slot, kind_slot, ..] = record {
            (*tag_slot, *kind_slot) = (as_number(tag), kind);
        }
        self.details.borrow_mut().extend(detail);
    }
}

fn text_bytes(receipt: &Receipt) -> usize {
    receipt.message_id.len() + receipt.offset_message_id.len() + receipt.queue.broker_name.len()
}

/// Copies a text that fits; returns the room that is left, and the text's length.
fn put<'t>(room: &'t mut [u8], text: &str) -> (&'t mut [u8], f64) {
    match room.split_at_mut_checked(text.len()) {
        Some((place, left)) => {
            place.copy_from_slice(text.as_bytes());
            (left, as_number(text.len() as u64))
        }
        None => (&mut [], 0.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "tags and lengths are below 2^53")]
fn as_number(value: u64) -> f64 {
    value as f64
}

/// Offsets and times as JavaScript's numbers: exact up to 2^53, which no queue reaches.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn offset_number(offset: i64) -> f64 {
    offset as f64
}

/// A client, as JavaScript holds it.
#[napi]
pub struct NativeClient {
    client: Client,
    shared: Arc<Shared>,
}

#[napi]
impl NativeClient {
    /// As brokers know it.
    #[napi(getter)]
    pub fn client_id(&self) -> String {
        self.client.client_id().to_owned()
    }

    /// Begins to start a producer.
    #[napi]
    pub fn producer(&self, number: f64, group: String, options: ProducerOptions) -> Result<()> {
        let builder = options.apply(self.client.producer(group));
        self.shared.make(tag(number), async { builder.start().await.map(Made::Producer) })
    }

    /// Begins to start a consumer.
    #[napi]
    pub fn consumer(
        &self,
        number: f64,
        group: String,
        subscriptions: Vec<Subscription>,
        options: ConsumerOptions,
    ) -> Result<()> {
        let mut builder = options.apply(self.client.push_consumer(group));
        for Subscription { topic, expression, is_sql } in subscriptions {
            let of = if is_sql { Selector::sql } else { Selector::tags };
            builder = builder.subscribe(topic, of(expression));
        }
        self.shared.make(tag(number), async { builder.stream().await.map(Made::Consumer) })
    }

    /// Ends its connections.
    #[napi]
    pub fn close(&self) {
        self.client.close();
    }
}
