//! The scanner of the log, on bytes that changed in all kinds of ways.

use oxmq_tests::journal::body;

use broker_dev::store::bare::sound_records;
use oxmq::protocol::message::record::Record;

use crate::image::{Damage, Image, Left};
use crate::share::share;

/// One to four random damages of one file.
fn damage(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..5) {
        let (length, pages) = (bytes.len(), bytes.len() / 512);
        let page = |random: &mut fastrand::Rng| random.usize(..pages.max(1));
        let damage = match random.u8(..8) {
            0 if length > 512 => Damage::Cut(random.usize(512..length)),
            1 if pages > 0 => Damage::ZeroPage(page(random)),
            2 if pages > 0 => Damage::DuplicatePage(page(random), page(random)),
            3 if pages > 0 => Damage::SwapPages(page(random), page(random)),
            _ => Damage::Flip(random.usize(..length), random.u8(..8)),
        };
        damage.apply(bytes);
    }
}

#[test]
fn the_scanner_finds_what_is_whole_and_believes_no_changed_body() {
    let (image, _) = Image::of(Left::Killed, 40);
    let files: Vec<_> = image.of_kind("commitlog");
    let mut random = fastrand::Rng::with_seed(11);
    let cases = share(20_000);
    for case in 0..cases {
        let file = &files[random.usize(..files.len())];
        let start = file.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let whole = &image.files[file];
        let mut bytes = whole.clone();
        damage(&mut bytes, &mut random);
        let found = sound_records(&bytes, start);
        for range in sound_records(whole, start) {
            let is_whole = bytes.get(range.clone()) == Some(&whole[range.clone()]);
            assert!(!is_whole || found.contains(&range), "case {case}: {range:?}");
        }
        for range in found {
            let (record, _) = Record::decode(&bytes[range]).unwrap().unwrap();
            let number = u64::from_be_bytes(*record.body.first_chunk().unwrap());
            assert_eq!(record.body, body(number), "case {case}");
        }
    }
    println!("{cases} scanner cases");
}
