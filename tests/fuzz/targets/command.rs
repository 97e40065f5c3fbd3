//! Frame and header: any bytes are a command, not yet a command, or an error. What was decoded and
//! written again says the same.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::frame::MAX_FRAME_BYTES;

fuzz_target!(|bytes: &[u8]| {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(command)) = RemotingCommand::decode(&mut buffer, MAX_FRAME_BYTES) {
        let mut written = BytesMut::new();
        if command.encode(&mut written).is_err() {
            continue;
        }
        let again = RemotingCommand::decode(&mut written, MAX_FRAME_BYTES)
            .expect("what we write is valid")
            .expect("what we write is whole");
        assert_eq!(again.code, command.code);
        assert_eq!(again.opaque, command.opaque);
        assert_eq!(again.body, command.body);
        assert_eq!(again.ext_fields, command.ext_fields);
    }
});
