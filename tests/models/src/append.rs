//! Append to readers: who sees a published number sees the bytes before it.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::published::Published;

#[test]
fn readers_see_whole_appends_and_no_more() {
    loom::model(|| {
        // Loom reports a cell that is read while it is written, or without an order between.
        let bytes = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
        let published = Arc::new(Published::new());
        let reader = {
            let (bytes, published) = (Arc::clone(&bytes), Arc::clone(&published));
            thread::spawn(move || {
                let mut seen = 0;
                for _ in 0..2 {
                    let end = published.get();
                    assert!(end >= seen, "it never goes back");
                    seen = end;
                    for (nth, byte) in bytes.iter().enumerate().take(end) {
                        byte.with(|byte| assert_eq!(unsafe { *byte }, nth + 1));
                    }
                }
            })
        };
        for (nth, byte) in bytes.iter().enumerate() {
            byte.with_mut(|byte| unsafe { *byte = nth + 1 });
            published.advance(nth + 1);
        }
        reader.join().unwrap();
    });
}
