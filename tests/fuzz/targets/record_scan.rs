//! The look of a recovery at one commit-log file: any bytes have sound records or none, and what is
//! sound is whole.
#![no_main]

use broker_dev::store::bare::sound_records;
use libfuzzer_sys::fuzz_target;
use oxmq::protocol::message::record::Record;

fuzz_target!(|bytes: &[u8]| {
    let mut end = 0;
    for range in sound_records(bytes, 0) {
        assert!(range.start >= end && range.end <= bytes.len());
        let (record, length) = Record::decode(&bytes[range.clone()]).unwrap().unwrap();
        assert_eq!((length, record.physical_offset), (range.len(), range.start as i64));
        record.verify_crc().unwrap();
        end = range.end;
    }
});
