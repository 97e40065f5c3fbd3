//! What is answered when the disk does not take a message.

use std::io::ErrorKind;
use std::sync::Arc;

use broker_dev::store::disk::{Call, FaultyDisk, RealDisk};
use broker_dev::{Broker, FlushMode, Options};
use oxmq::protocol::code::ResponseCode;

use crate::support::{Wire, send};

/// Apache's flush caught the error of `force`, logged it, moved the flushed position on all the
/// same, and the send was answered with SEND_OK.
#[tokio::test]
async fn rmq_2706_send_ok_although_the_flush_failed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let options = Options::for_tests().store(folder.path()).flush(FlushMode::Sync);
    let broker = Broker::start(options.clone().disk(disk.clone())).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    for number in 0..3 {
        assert_eq!(wire.store("t", 0, &format!("safe {number}")).await, number);
    }

    // One sync fails, all that wait for it hear of it, on every connection.
    disk.fail_nth(Call::SyncData, 1, ErrorKind::Other);
    let mut other = Wire::connect(broker.broker_address()).await;
    let sends = |who: &str| (0..20).map(|n| send("t", 0, &format!("{who} {n}"), "")).collect();
    let first = wire.send_together(sends("first")).await;
    let second = other.send_together(sends("second")).await;
    for opaque in first {
        assert_ne!(wire.response(opaque).await.response_code(), ResponseCode::SUCCESS);
    }
    for opaque in second {
        assert_ne!(other.response(opaque).await.response_code(), ResponseCode::SUCCESS);
    }

    // The disk works again. A sync that succeeds now says nothing about the pages of the one that
    // failed, so nothing is taken until the store has been opened anew.
    disk.heal();
    let late = wire.call(send("t", 0, "late", "")).await;
    assert_ne!(late.response_code(), ResponseCode::SUCCESS);
    broker.kill().await;

    let broker = Broker::start(options).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    let stored = wire.pull("t", 0, 0).await;
    let bodies: Vec<_> = stored.iter().take(3).map(|message| message.body.clone()).collect();
    assert_eq!(bodies, [b"safe 0", b"safe 1", b"safe 2"]);
    assert!(stored.iter().all(|message| message.body != b"late"));
    broker.stop().await.unwrap();
}

/// The same trick where nobody waits for the disk: the failure is told to the sends that follow.
#[tokio::test]
async fn rmq_2706_sends_go_on_although_the_background_flush_failed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let mut options = Options::for_tests().store(folder.path()).disk(disk.clone());
    options.settings.set("flushIntervalCommitLog", "1").unwrap();
    let broker = Broker::start(options).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "before").await;
    disk.fail_from(Call::SyncData, 1, ErrorKind::Other);
    // The failing sync comes within a few sends: each makes the log dirty again.
    let mut code = ResponseCode::SUCCESS;
    while code == ResponseCode::SUCCESS {
        code = wire.call(send("t", 0, "more", "")).await.response_code();
    }
    disk.heal();
    let late = wire.call(send("t", 0, "late", "")).await;
    assert_ne!(late.response_code(), ResponseCode::SUCCESS);
    assert!(!wire.pull("t", 0, 0).await.is_empty(), "reads go on");
    broker.kill().await;
}
