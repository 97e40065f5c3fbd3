//! Old messages go: with time, when the disk gets full, and when asked for.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use broker_dev::store::disk::{FaultyDisk, RealDisk};
use broker_dev::{Broker, Options};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use support::{Wire, remark, request, send};

const HOUR: Duration = Duration::from_secs(3600);

struct World {
    broker: Broker,
    wire: Wire,
    disk: Arc<FaultyDisk>,
}

impl World {
    /// A broker whose log has small files, with the given settings.
    async fn new(settings: &[(&str, &str)]) -> Self {
        let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
        disk.set_used(0.5);
        let mut options = Options::for_tests().disk(Arc::clone(&disk) as Arc<_>);
        options.settings.set("mappedFileSizeCommitLog", "8192").unwrap();
        for (key, value) in settings {
            options.settings.set(key, value).unwrap();
        }
        let broker = Broker::start(options).await.unwrap();
        let wire = Wire::connect(broker.broker_address()).await;
        Self { broker, wire, disk }
    }

    /// Messages of about a kilobyte.
    async fn fill(&mut self, topic: &str, messages: usize) {
        for _ in 0..messages {
            self.wire.store(topic, 0, &"x".repeat(900)).await;
        }
    }

    async fn ask(&mut self, code: RequestCode) {
        self.wire.ok(request(code, &[])).await;
    }

    async fn min_offset(&mut self, topic: &str) -> i64 {
        let fields = [("topic", topic), ("queueId", "0")];
        let answer = self.wire.ok(request(RequestCode::GET_MIN_OFFSET, &fields)).await;
        answer.ext_fields.required("offset").unwrap()
    }
}

#[tokio::test]
async fn after_three_days_and_the_hour_old_messages_are_gone() {
    let mut world = World::new(&[]).await;
    world.fill("t", 40).await;
    world.broker.advance(HOUR * 71).await;
    assert_eq!(world.min_offset("t").await, 0);
    world.broker.advance(HOUR * 30).await;
    let min = world.min_offset("t").await;
    assert!(min > 28, "{min}");
    assert_eq!(world.wire.store("t", 0, "goes on").await, 40);
    world.broker.stop().await.unwrap();
}

#[tokio::test]
async fn at_no_hour_old_messages_go_when_asked_for() {
    let mut world = World::new(&[("deleteWhen", ""), ("fileReservedTime", "10")]).await;
    world.fill("t", 40).await;
    world.broker.advance(HOUR * 100).await;
    assert_eq!(world.min_offset("t").await, 0);
    world.ask(RequestCode::DELETE_EXPIRED_COMMITLOG).await;
    world.broker.advance(Duration::from_secs(10)).await;
    assert!(world.min_offset("t").await > 28);
    world.broker.stop().await.unwrap();
}

#[tokio::test]
async fn on_a_full_disk_messages_are_refused_and_old_ones_go() {
    let marks = [("diskSpaceWarningLevelRatio", "90"), ("diskSpaceCleanForciblyRatio", "85")];
    let mut world = World::new(&marks).await;
    world.fill("t", 40).await;
    world.disk.set_used(0.95);
    world.broker.advance(Duration::from_secs(70)).await;
    let answer = world.wire.call(send("t", 0, "refused", "")).await;
    assert_eq!(answer.response_code(), ResponseCode::SERVICE_NOT_AVAILABLE);
    assert!(remark(&answer).contains("full"), "{}", remark(&answer));
    assert!(world.min_offset("t").await > 28);
    world.disk.set_used(0.6);
    world.broker.advance(Duration::from_secs(10)).await;
    assert_eq!(world.wire.store("t", 0, "taken").await, 40);
    world.broker.stop().await.unwrap();
}

#[tokio::test]
async fn expired_queues_and_unused_topics_go_when_asked_for() {
    let mut world = World::new(&[]).await;
    world.fill("old", 10).await;
    world.fill("new", 40).await;
    world.broker.advance(HOUR * 101).await;
    assert_eq!(world.min_offset("old").await, 10, "all of its messages are gone");
    world.ask(RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE).await;
    assert_eq!(world.wire.store("old", 0, "again").await, 0);
    assert_eq!(world.wire.store("new", 0, "on").await, 40);
    world.ask(RequestCode::CLEAN_UNUSED_TOPIC).await;
    assert_eq!(world.wire.pull("old", 0, 0).await.len(), 1, "it has a configuration");
    world.broker.stop().await.unwrap();
}
