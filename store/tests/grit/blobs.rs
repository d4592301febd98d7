//! Big blobs.

use gritmesh_store::{
    BLOB_BYTES_MAX, Blob, BlobReader, BlobWriter, GritError, LEAF_BYTES, MemoryObjects, Object, ObjectId,
    ObjectKind, blob_of,
};
use proptest::prelude::*;

fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 7 % 251) as u8 ^ (at >> 16) as u8).collect()
}

fn stored(bytes: &[u8]) -> (MemoryObjects, ObjectId) {
    let (id, made) = blob_of(bytes);
    let mut objects = MemoryObjects::new();
    for object in made {
        Object::check(object.kind(), object.bytes().clone()).unwrap();
        objects.insert(object);
    }
    (objects, id)
}

#[test]
fn what_fits_into_a_leaf_is_one_object() {
    for (bytes, count) in [(0, 1), (1, 1), (LEAF_BYTES, 1), (LEAF_BYTES + 1, 3), (2 * LEAF_BYTES, 3)] {
        let (objects, id) = stored(&data(bytes));
        assert_eq!(objects.len(), count, "{bytes} bytes");
        let reader = BlobReader::open(&objects, id).unwrap();
        assert_eq!(reader.length(), bytes as u64);
        assert_eq!(reader.read_all().unwrap(), data(bytes));
    }
}

#[test]
fn two_levels_of_indices_hold_what_one_cannot() {
    let headers = vec![("name".to_owned(), "big".to_owned())];
    let mut writer = BlobWriter::new(headers.clone()).unwrap();
    let mut objects = MemoryObjects::new();
    let leaf = data(LEAF_BYTES);
    for _ in 0..1025 {
        objects.extend(writer.push(&leaf).unwrap());
    }
    objects.extend(writer.push(b"the end").unwrap());
    let (id, rest) = writer.finish();
    objects.extend(rest);
    let reader = BlobReader::open(&objects, id).unwrap();
    assert_eq!((reader.length(), reader.headers().unwrap()), (1025 * LEAF_BYTES as u64 + 7, headers));
    // 1,025 equal leaves are one object, their indices differ.
    assert_eq!(objects.len(), 5);
    assert_eq!(
        reader.read(1025 * LEAF_BYTES as u64 - 1, 100).unwrap(),
        [&leaf[LEAF_BYTES - 1..], b"the end"].concat()
    );
    assert_eq!(reader.read_all().unwrap_err().as_str(), "object_too_large");
    assert_eq!(reader.read(u64::MAX, u64::MAX), Ok(Vec::new()));
    const { assert!(BLOB_BYTES_MAX == 1 << 46) };
}

#[test]
fn damage_is_found_where_it_is() {
    let (mut objects, id) = stored(&data(5 * LEAF_BYTES));
    let root = Blob::decode(objects.get(&id).unwrap().bytes()).unwrap();
    let gritmesh_store::BlobBody::Index { pieces, .. } = root.body else { panic!("it has five leaves") };
    objects.remove(&pieces[3]);
    let reader = BlobReader::open(&objects, id).unwrap();
    assert_eq!(reader.read(0, 3 * LEAF_BYTES as u64).unwrap().len(), 3 * LEAF_BYTES);
    assert_eq!(reader.read(3 * LEAF_BYTES as u64, 1).unwrap_err().as_str(), "object_missing");
}

#[test]
fn an_index_that_lies_about_its_pieces_is_refused() {
    let (leaf, made) = blob_of(b"short");
    let body =
        gritmesh_store::BlobBody::Index { level: 1, length: LEAF_BYTES as u64 + 1, pieces: vec![leaf, leaf] };
    let index = Object::new(ObjectKind::Blob, Blob { headers: Vec::new(), body }.encode());
    let id = index.id();
    let mut objects = MemoryObjects::new();
    objects.extend(made);
    objects.insert(index);
    let error = BlobReader::open(&objects, id).unwrap().read_all().unwrap_err();
    assert!(matches!(error, GritError::Object { id, .. } if id == leaf));
    assert_eq!(error.as_str(), "object_broken_link");
}

#[test]
fn an_index_above_one_leaf_is_refused() {
    let (leaf, made) = blob_of(b"short");
    let body = gritmesh_store::BlobBody::Index { level: 1, length: 5, pieces: vec![leaf] };
    let index = Object::new(ObjectKind::Blob, Blob { headers: Vec::new(), body }.encode());
    let id = index.id();
    let mut objects = MemoryObjects::new();
    objects.extend(made.into_iter().chain([index]));
    assert_eq!(BlobReader::open(&objects, id).unwrap_err().as_str(), "object_not_canonical");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_way_of_writing_and_reading_agrees(
        length in 0_usize..400_000,
        pieces in prop::collection::vec(1_usize..150_000, 1..6),
        from in 0_u64..400_000,
        count in 0_u64..400_000,
    ) {
        let bytes = data(length);
        let (objects, id) = stored(&bytes);
        let mut writer = BlobWriter::plain();
        let mut rest = &bytes[..];
        for size in pieces.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*size));
            writer.push(now).unwrap();
            rest = later;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(writer.finish().0, id);
        let read = BlobReader::open(&objects, id).unwrap().read(from, count).unwrap();
        let start = (from as usize).min(length);
        prop_assert_eq!(&read[..], &bytes[start..(start + count as usize).min(length)]);
    }
}
