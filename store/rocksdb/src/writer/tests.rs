use super::*;

fn batch(bytes: usize) -> Arc<Batch> {
    Arc::new(Batch::synced(vec![Change::put(Table::Log, *b"k", vec![0; bytes])]))
}

fn waiting(bytes: usize) -> Waiting {
    let batch = batch(bytes);
    Waiting { bytes: bytes_of(&batch), batch: Some(batch), done: Box::new(drop) }
}

fn queue(sizes: &[usize]) -> Queue {
    let waiting: VecDeque<Waiting> = sizes.iter().map(|size| waiting(*size)).collect();
    let bytes = waiting.iter().map(|waiting| waiting.bytes).sum();
    Queue { batches: waiting.len(), bytes, waiting, writing: false, closed: false }
}

#[test]
fn a_group_is_what_makes_one_write() {
    let half = BYTES_PER_WRITE / 2;
    let mut queue = queue(&[half, half / 2, half, 2 * BYTES_PER_WRITE, 1]);
    let groups: Vec<usize> =
        std::iter::from_fn(|| Some(queue.take_group().len()).filter(|len| *len > 0)).collect();
    assert_eq!(groups, [2, 1, 1, 1], "a batch that is too big for any write is one by itself");
    assert_eq!((queue.batches, queue.bytes), (0, 0));
}

#[test]
fn small_batches_are_taken_all_at_once() {
    assert_eq!(queue(&[100; 1000]).take_group().len(), 1000);
}

#[test]
fn the_queue_is_bounded_by_number_and_by_bytes() {
    assert!(queue(&[0; BATCHES_WAITING_MAX - 1]).has_room(1));
    assert!(!queue(&[0; BATCHES_WAITING_MAX]).has_room(1));
    assert!(!queue(&[1]).has_room(BYTES_WAITING_MAX));
    assert!(queue(&[]).has_room(2 * BYTES_WAITING_MAX), "a big batch is written when it is alone");
}
