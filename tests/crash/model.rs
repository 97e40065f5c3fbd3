//! Random operations against a model of a few lines, with reopening among the operations.

use broker_dev::store::Put;
use proptest::prelude::*;

use crate::world::{Contents, contents, message, open};

#[derive(Debug, Clone)]
enum Operation {
    Put { topic: usize, queue_id: i32, sizes: Vec<usize> },
    Half { size: usize },
    Flush,
    Close,
    Kill,
}

const TOPICS: [&str; 3] = ["T", "%RETRY%group", "another-topic"];

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => (0..TOPICS.len(), 0..3, prop::collection::vec(0usize..900, 1..5))
            .prop_map(|(topic, queue_id, sizes)| Operation::Put { topic, queue_id, sizes }),
        1 => (0usize..500).prop_map(|size| Operation::Half { size }),
        1 => Just(Operation::Flush),
        1 => Just(Operation::Close),
        1 => Just(Operation::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_list_for_each_queue(operations in prop::collection::vec(operation(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        let mut model = Contents::new();
        let mut end = 0;
        for operation in operations {
            match operation {
                Operation::Put { topic, queue_id, sizes } => {
                    let topic = TOPICS[topic];
                    let bodies: Vec<Vec<u8>> =
                        sizes.iter().map(|size| vec![(size % 251) as u8; *size]).collect();
                    let messages: Vec<_> =
                        bodies.iter().map(|body| message(topic, queue_id, body)).collect();
                    let mut puts: Vec<Put> = Vec::new();
                    end = store.put(&messages, &mut puts).unwrap().end_offset;
                    for (put, body) in puts.iter().zip(bodies) {
                        let key = |offset| (topic.to_owned(), queue_id, offset);
                        prop_assert_eq!(model.range(key(0)..key(i64::MAX)).count() as i64,
                            put.queue_offset);
                        model.insert(key(put.queue_offset), body);
                    }
                }
                Operation::Half { size } => {
                    let body = vec![1; size];
                    let mut half = message("T", 0, &body);
                    half.sys_flag = 0x4;
                    end = store.put(&[half], &mut Vec::new()).unwrap().end_offset;
                }
                Operation::Flush => store.flush().unwrap(),
                Operation::Close | Operation::Kill => {
                    if matches!(operation, Operation::Close) {
                        store.close().unwrap();
                    }
                    drop(store);
                    store = open(folder.path());
                    prop_assert_eq!(store.recovery().damaged_count, 0);
                    prop_assert_eq!(store.commit_log_range(), (0, end));
                }
            }
            prop_assert_eq!(&contents(&store), &model);
        }
    }
}
