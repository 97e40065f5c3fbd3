//! The small files: offsets of groups and of delay levels.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_dev::{Broker, Options, StartError, Time};
use oxmq::clock::VirtualClock;
use oxmq::protocol::code::RequestCode;
use oxmq::protocol::header::UpdateConsumerOffsetRequestHeader;

use crate::support::{Wire, request, send, with_header};
use crate::world::NOW_MS;

async fn commit(wire: &mut Wire, offset: i64) {
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: "group".to_owned(),
        topic: "t".to_owned(),
        queue_id: 0,
        commit_offset: offset,
    };
    wire.ok(with_header(RequestCode::UPDATE_CONSUMER_OFFSET, &header)).await;
}

async fn committed(wire: &mut Wire) -> i64 {
    let fields = [("consumerGroup", "group"), ("topic", "t"), ("queueId", "0")];
    let answer = wire.ok(request(RequestCode::QUERY_CONSUMER_OFFSET, &fields)).await;
    answer.ext_fields.get("offset").unwrap().parse().unwrap()
}

/// A broker in a time of its own, which goes on from life to life.
async fn start(store: &Path, clock: &Arc<VirtualClock>) -> Result<Broker, StartError> {
    Broker::start(Options::for_tests().store(store).time(Time::Virtual(clock.clone()))).await
}

/// A life that delivers a delayed message, commits an offset, and stops.
async fn live(store: &Path, clock: &Arc<VirtualClock>, offset: i64) {
    let broker = start(store, clock).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    while wire.store("t", 0, "message").await < offset {}
    wire.ok(send("delayed", 0, "later", "DELAY\u{1}1\u{2}")).await;
    broker.advance(Duration::from_secs(2)).await;
    wire.heartbeat("client", "group", "t", "*").await;
    commit(&mut wire, offset).await;
    broker.stop().await.unwrap();
}

/// A machine went down while Apache's broker wrote its offsets. `consumerOffset.json` and
/// `delayOffset.json` were full of garbage, the broker did not start, and once they were emptied by
/// hand every group began again at zero.
#[tokio::test]
async fn rmq_3401_offsets_are_garbage_after_the_machine_went_down() {
    let garbage: [&[u8]; 4] =
        [b"", &[0; 4096], &[0xC3, 0x28, 0xFF, 0x00, 0x9F], b"{\"offsetTable\":{"];
    for bytes in garbage {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(VirtualClock::new(NOW_MS));
        for offset in [3, 7] {
            live(folder.path(), &clock, offset).await;
        }
        for name in ["consumerOffset.json", "delayOffset.json"] {
            let path = folder.path().join("config").join(name);
            assert!(path.exists(), "{name}");
            fs::write(path, bytes).unwrap();
        }
        let broker = start(folder.path(), &clock).await.unwrap();
        let mut wire = Wire::connect(broker.broker_address()).await;
        assert_eq!(committed(&mut wire).await, 3, "the generation before");
        // At most what was delivered since that generation comes again; from zero on it were two.
        broker.advance(Duration::from_secs(5)).await;
        let delivered = wire.pull("delayed", 0, 0).await.len();
        assert!((2..=3).contains(&delivered), "{delivered} deliveries of two messages");
        // The next save does not push the garbage over the good generation.
        commit(&mut wire, 7).await;
        broker.stop().await.unwrap();
        let broker = start(folder.path(), &clock).await.unwrap();
        assert_eq!(committed(&mut Wire::connect(broker.broker_address()).await).await, 7);
        broker.stop().await.unwrap();
    }
}

/// Both generations are unreadable: the broker says which file, and overwrites neither.
#[tokio::test]
async fn rmq_3401_nothing_begins_at_zero_when_both_generations_are_garbage() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(VirtualClock::new(NOW_MS));
    for offset in [3, 7] {
        live(folder.path(), &clock, offset).await;
    }
    for name in ["consumerOffset.json", "delayOffset.json"] {
        let paths = ["", ".bak"].map(|end| folder.path().join(format!("config/{name}{end}")));
        let good = paths.clone().map(|path| fs::read(path).ok());
        for path in &paths {
            fs::write(path, b"\x1F\x8B garbage").unwrap();
        }
        let refused = start(folder.path(), &clock).await.unwrap_err();
        assert!(refused.to_string().contains(name), "{refused}");
        for (path, good) in paths.iter().zip(good) {
            assert_eq!(fs::read(path).unwrap(), b"\x1F\x8B garbage");
            match good {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
    }
    let broker = start(folder.path(), &clock).await.unwrap();
    assert_eq!(committed(&mut Wire::connect(broker.broker_address()).await).await, 7);
    broker.stop().await.unwrap();
}
