//! Transactions over the broker's socket.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_dev::{Broker, FlushMode, Options, Time};
use oxmq::clock::VirtualClock;
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{
    CheckTransactionStateRequestHeader, EndTransactionRequestHeader, SendFields,
    SendMessageRequestHeader, SendMessageResponseHeader,
};
use oxmq::protocol::message::{record, sys_flag};
use support::{Pulled, Wire, request, with_header};

const NOW: i64 = 1_700_000_000_000;
const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
const OP: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";

async fn start(folder: &Path, now: i64, settings: &[&str]) -> Broker {
    let clock = Arc::new(VirtualClock::new(now));
    let mut options = Options::for_tests().store(folder).time(Time::Virtual(clock));
    for setting in settings {
        options.settings.set_pair(setting).unwrap();
    }
    Broker::start(options).await.unwrap()
}

async fn wire(broker: &Broker) -> Wire {
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.heartbeat("c", "group", "t", "*").await;
    wire
}

/// A half message of the group `producers`, born at `born`.
fn half(body: &str, more: &str, born: i64) -> RemotingCommand {
    let properties =
        format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}producers\u{2}TAGS\u{1}a\u{2}{more}");
    let header = SendMessageRequestHeader {
        producer_group: "producers",
        topic: "t",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: 1,
        sys_flag: sys_flag::TRANSACTION_PREPARED,
        born_timestamp: born,
        flag: 0,
        properties: &properties,
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        batch: false,
    };
    let mut request = RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &());
    header.write(&mut request.ext_fields, SendFields::Letters);
    request.with_body(body.as_bytes().to_vec())
}

async fn send_half(wire: &mut Wire, body: &str, more: &str) -> EndTransactionRequestHeader {
    let answer = wire.call(half(body, more, NOW)).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{:?}", answer.remark);
    let header: SendMessageResponseHeader = answer.header().unwrap();
    assert_eq!(header.queue_id, 1);
    let offset = i64::from_str_radix(&header.msg_id[16..], 16).unwrap();
    EndTransactionRequestHeader {
        topic: Some("t".to_owned()),
        producer_group: "producers".to_owned(),
        tran_state_table_offset: header.queue_offset,
        commit_log_offset: offset,
        commit_or_rollback: sys_flag::TRANSACTION_COMMIT,
        from_transaction_check: None,
        msg_id: header.transaction_id.clone().unwrap(),
        transaction_id: header.transaction_id,
    }
}

async fn end(wire: &mut Wire, header: &EndTransactionRequestHeader) -> ResponseCode {
    wire.call(with_header(RequestCode::END_TRANSACTION, header)).await.response_code()
}

/// The message at an offset of the commit log.
async fn view(wire: &mut Wire, offset: i64) -> RemotingCommand {
    wire.call(request(RequestCode::VIEW_MESSAGE_BY_ID, &[("offset", &offset.to_string())])).await
}

async fn max_offset(wire: &mut Wire, topic: &str) -> i64 {
    let answer = wire
        .call(request(RequestCode::GET_MAX_OFFSET, &[("topic", topic), ("queueId", "0")]))
        .await;
    answer.ext_fields.required("offset").unwrap()
}

async fn settled(wire: &mut Wire, topic: &str) -> Option<i64> {
    let fields = [("consumerGroup", "CID_RMQ_SYS_TRANS"), ("topic", topic), ("queueId", "0")];
    let answer = wire.call(request(RequestCode::QUERY_CONSUMER_OFFSET, &fields)).await;
    answer.ext_fields.optional("offset").unwrap()
}

/// The questions that have come so far: what they ask, and the half message's body.
async fn questions(wire: &mut Wire) -> Vec<(CheckTransactionStateRequestHeader, Vec<u8>)> {
    // An answer comes after them.
    max_offset(wire, "t").await;
    let questions = std::mem::take(&mut wire.notices).into_iter();
    let is_check =
        |notice: &RemotingCommand| notice.request_code() == RequestCode::CHECK_TRANSACTION_STATE;
    questions
        .filter(is_check)
        .map(|notice| {
            let about = record::iter(&notice.body).next().unwrap().unwrap();
            assert_eq!((about.topic, about.queue_id), ("t", 1));
            (notice.header().unwrap(), about.body.to_vec())
        })
        .collect()
}

#[tokio::test]
async fn a_committed_message_comes_and_one_rolled_back_does_not() {
    for flush in [FlushMode::Async, FlushMode::Sync] {
        let broker = Broker::start(Options::for_tests().flush(flush)).await.unwrap();
        let mut wire = wire(&broker).await;
        let committed = send_half(&mut wire, "yes", "own\u{1}x\u{2}DELAY\u{1}3\u{2}").await;
        let rolled_back = EndTransactionRequestHeader {
            commit_or_rollback: sys_flag::TRANSACTION_ROLLBACK,
            ..send_half(&mut wire, "no", "").await
        };
        assert!(wire.pull("t", 1, 0).await.is_empty());
        assert_eq!(end(&mut wire, &committed).await, ResponseCode::SUCCESS);
        assert_eq!(end(&mut wire, &rolled_back).await, ResponseCode::SUCCESS);
        let messages: Vec<Pulled> = wire.pull("t", 1, 0).await;
        assert_eq!(messages.len(), 1, "{flush:?}");
        let message = &messages[0];
        assert_eq!(message.body, b"yes");
        for (name, value) in [
            ("own", Some("x")),
            ("TAGS", Some("a")),
            ("TRAN_MSG", Some("true")),
            ("REAL_TOPIC", Some("t")),
            ("REAL_QID", Some("1")),
            ("DELAY", None),
            ("__transactionId__", Some(&*committed.msg_id)),
            ("UNIQ_KEY", Some(&*committed.msg_id)),
        ] {
            assert_eq!(message.property(name), value, "{name}");
        }
        let stored = view(&mut wire, message.physical_offset).await;
        let stored = record::iter(&stored.body).next().unwrap().unwrap();
        assert_eq!(stored.sys_flag & sys_flag::TRANSACTION_MASK, sys_flag::TRANSACTION_COMMIT);
        assert_eq!(stored.prepared_transaction_offset, committed.commit_log_offset);
        // The op message follows the committed one in the log.
        let op = view(&mut wire, message.physical_offset + stored.encoded_length() as i64).await;
        let op = record::iter(&op.body).next().unwrap().unwrap();
        assert_eq!((op.topic, op.queue_id, op.body), (OP, 0, &b"0"[..]));
        assert_eq!((op.property("TAGS"), op.queue_offset), (Some("d"), 0));
        assert_eq!(max_offset(&mut wire, OP).await, 2);
        broker.stop().await.unwrap();
    }
}

#[tokio::test]
async fn an_end_that_does_not_fit_its_half_message_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path(), NOW, &[]).await;
    let mut wire = wire(&broker).await;
    let right = send_half(&mut wire, "x", "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}5\u{2}").await;
    let plain = wire.store("t", 0, "plain").await;
    assert_eq!(plain, 0);
    let plain = wire.pull("t", 0, 0).await.remove(0);
    for wrong in [
        EndTransactionRequestHeader { producer_group: "others".to_owned(), ..right.clone() },
        EndTransactionRequestHeader { tran_state_table_offset: 1, ..right.clone() },
        EndTransactionRequestHeader { commit_log_offset: 1, ..right.clone() },
        EndTransactionRequestHeader { commit_log_offset: plain.physical_offset, ..right.clone() },
        EndTransactionRequestHeader { commit_or_rollback: 4, ..right.clone() },
    ] {
        assert_eq!(end(&mut wire, &wrong).await, ResponseCode::SYSTEM_ERROR);
    }
    // Not yet: Apache's broker does not answer that, and neither does this one.
    let not_yet = EndTransactionRequestHeader { commit_or_rollback: 0, ..right.clone() };
    let opaque = wire.send(with_header(RequestCode::END_TRANSACTION, &not_yet)).await;
    assert_eq!(max_offset(&mut wire, OP).await, 0);
    assert!(!wire.has_answer(opaque));
    // Too late for the producer, unless it was asked.
    broker.advance(Duration::from_secs(6)).await;
    assert_eq!(end(&mut wire, &right).await, ResponseCode::ILLEGAL_OPERATION);
    assert!(wire.pull("t", 1, 0).await.is_empty());
    let answer = EndTransactionRequestHeader { from_transaction_check: Some(true), ..right };
    assert_eq!(end(&mut wire, &answer).await, ResponseCode::SUCCESS);
    assert_eq!(wire.pull("t", 1, 0).await.len(), 1);
    broker.stop().await.unwrap();

    let broker = start(folder.path(), NOW, &["rejectTransactionMessage=true"]).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    let answer = wire.call(half("x", "", NOW)).await;
    assert_eq!(answer.response_code(), ResponseCode::NO_PERMISSION);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_silent_producer_is_asked_and_its_answer_counts() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path(), NOW, &[]).await;
    let mut wire = wire(&broker).await;
    let first = send_half(&mut wire, "settled", "").await;
    send_half(&mut wire, "open", "").await;
    assert_eq!(end(&mut wire, &first).await, ResponseCode::SUCCESS);
    broker.advance(Duration::from_secs(29)).await;
    assert!(questions(&mut wire).await.is_empty());
    broker.advance(Duration::from_secs(1)).await;
    let (asked, body) = questions(&mut wire).await.remove(0);
    assert_eq!(body, b"open");
    assert_eq!(asked.tran_state_table_offset, 2, "the copy is asked about");
    assert_eq!((settled(&mut wire, HALF).await, settled(&mut wire, OP).await), (Some(2), Some(1)));
    let answer = EndTransactionRequestHeader {
        topic: None,
        producer_group: "producers".to_owned(),
        tran_state_table_offset: asked.tran_state_table_offset,
        commit_log_offset: asked.commit_log_offset,
        commit_or_rollback: sys_flag::TRANSACTION_COMMIT,
        from_transaction_check: Some(true),
        msg_id: asked.msg_id.unwrap(),
        transaction_id: asked.transaction_id,
    };
    assert_eq!(end(&mut wire, &answer).await, ResponseCode::SUCCESS);
    let bodies: Vec<_> =
        wire.pull("t", 1, 0).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [b"settled".to_vec(), b"open".to_vec()]);
    broker.advance(Duration::from_secs(30)).await;
    assert!(questions(&mut wire).await.is_empty());
    assert_eq!(settled(&mut wire, HALF).await, Some(3));
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_never_settled_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path(), NOW, &["transactionCheckMax=3"]).await;
    let mut wire = wire(&broker).await;
    send_half(&mut wire, "lost", "").await;
    for round in 0..3 {
        broker.advance(Duration::from_secs(30)).await;
        assert_eq!(questions(&mut wire).await.len(), 1, "{round}");
    }
    assert_eq!(max_offset(&mut wire, "TRANS_CHECK_MAX_TIME_TOPIC").await, 0);
    broker.advance(Duration::from_secs(30)).await;
    assert!(questions(&mut wire).await.is_empty());
    assert_eq!(max_offset(&mut wire, "TRANS_CHECK_MAX_TIME_TOPIC").await, 1);
    broker.advance(Duration::from_secs(60)).await;
    assert_eq!(max_offset(&mut wire, "TRANS_CHECK_MAX_TIME_TOPIC").await, 1);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_may_ask_for_more_time() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path(), NOW, &[]).await;
    let mut wire = wire(&broker).await;
    let slow = send_half(&mut wire, "slow", "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}100\u{2}").await;
    send_half(&mut wire, "slower", "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}100\u{2}").await;
    for _ in 0..2 {
        broker.advance(Duration::from_secs(30)).await;
        assert!(questions(&mut wire).await.is_empty());
    }
    // It stands further back in the queue by now, and still counts as the same message.
    assert_eq!(end(&mut wire, &slow).await, ResponseCode::SUCCESS);
    for seconds in [30, 30] {
        broker.advance(Duration::from_secs(seconds)).await;
    }
    let asked = questions(&mut wire).await;
    assert_eq!(asked.iter().map(|(_, body)| &body[..]).collect::<Vec<_>>(), [b"slower"]);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_crash_loses_no_end_of_a_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path(), NOW, &[]).await;
    let mut producer = wire(&broker).await;
    for n in 0..20 {
        let mut header = send_half(&mut producer, &n.to_string(), "").await;
        if n % 3 == 1 {
            header.commit_or_rollback = sys_flag::TRANSACTION_ROLLBACK;
        }
        if n % 3 < 2 {
            assert_eq!(end(&mut producer, &header).await, ResponseCode::SUCCESS);
        }
    }
    broker.kill().await;
    let broker = start(folder.path(), NOW + 1_000, &[]).await;
    let mut again = wire(&broker).await;
    assert_eq!(again.pull("t", 1, 0).await.len(), 7);
    broker.advance(Duration::from_secs(30)).await;
    let asked: Vec<_> = questions(&mut again).await.into_iter().map(|(_, body)| body).collect();
    let open: Vec<_> = (0..20).filter(|n| n % 3 == 2).map(|n| n.to_string().into_bytes()).collect();
    assert_eq!(asked, open);
    broker.stop().await.unwrap();
}
