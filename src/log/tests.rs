//! Lines, levels, samples and queues of the log, without a thread that writes.

use super::*;

const NOW_US: u64 = 1_700_000_000_123_456;

fn target(format: LogLineFormat) -> LogTarget {
    LogTarget {
        address: LogAddress::Stdout,
        format,
        facility: 16,
        max_level: 7,
        min_level: 0,
        length_max: 1024,
        sample: None,
    }
}

fn lines(queue: &LogQueue) -> Vec<String> {
    let batches = std::iter::from_fn(|| queue.pop());
    batches
        .flat_map(|batch| {
            batch.lines().map(|l| String::from_utf8_lossy(l).into_owned()).collect::<Vec<_>>()
        })
        .collect()
}

fn said(message: &[u8]) -> Line<'_> {
    Line { tag: "lb", level: 6, now_us: NOW_US, structured: b"", message }
}

/// Writes one line at level 6 and returns it.
fn line(target: LogTarget, hostname: Option<&str>) -> String {
    let queue = LogQueue::new(Origin { hostname: hostname.map(str::to_owned), pid: 42 });
    let mut log = queue.shard_log();
    log.write(&[target], said(b"hello"));
    log.flush();
    lines(&queue).concat()
}

#[test]
fn raw_and_short_lines_have_no_date() {
    assert_eq!(line(target(LogLineFormat::Raw), None), "hello\n");
    assert_eq!(line(target(LogLineFormat::Short), None), "<6>hello\n");
}

#[test]
fn the_short_formats_have_the_parts_that_their_names_say() {
    assert_eq!(line(target(LogLineFormat::Priority), None), "<134>hello\n");
    let iso = line(target(LogLineFormat::Iso), None);
    assert_eq!(iso.len(), "2023-11-14T22:13:20.123456+00:00 hello\n".len());
    assert_eq!(line(target(LogLineFormat::Timed), None), format!("<6>{iso}"));
}

#[test]
fn local_lines_name_no_host_and_rfc3164_lines_always_do() {
    let plain = line(target(LogLineFormat::Local), Some("edge1"));
    assert!(plain.starts_with("<134>Nov 1"), "{plain}");
    assert_eq!(plain.len(), "<134>Nov 14 22:13:20 lb[42]: hello\n".len());
    let named = line(target(LogLineFormat::Rfc3164), Some("edge1"));
    assert!(named.contains(":20 edge1 lb[42]: "), "{named}");
    let unnamed = line(target(LogLineFormat::Rfc3164), None);
    assert!(unnamed.contains(":20 localhost lb[42]: "), "{unnamed}");
}

#[test]
fn rfc5424_has_microseconds_and_a_dash_for_no_host() {
    let text = line(target(LogLineFormat::Rfc5424), None);
    assert!(text.starts_with("<134>1 2023-11-1"), "{text}");
    assert!(text.contains(".123456"), "{text}");
    assert!(text.ends_with(" - lb 42 - - hello\n"), "{text}");
}

#[test]
fn levels_filter_and_clamp() {
    let mut quiet = target(LogLineFormat::Short);
    quiet.max_level = 4;
    assert_eq!(line(quiet, None), "");
    let mut raised = target(LogLineFormat::Short);
    raised.min_level = 7;
    assert_eq!(line(raised, None), "<7>hello\n");
}

#[test]
fn a_line_is_cut_at_len_which_does_not_count_the_newline() {
    let mut short = target(LogLineFormat::Raw);
    short.length_max = 4;
    assert_eq!(line(short, None), "hell\n");
}

#[test]
fn what_does_not_fit_into_the_queue_is_counted_and_dropped() {
    let queue = LogQueue::new(Origin::default());
    let mut log = queue.shard_log();
    let targets = [target(LogLineFormat::Raw)];
    for _ in 0..QUEUE_BATCHES + 3 {
        log.write(&targets, said(b"x"));
        log.flush();
    }
    assert_eq!(log.take_dropped(), 3);
    assert_eq!(log.take_dropped(), 0);
    assert_eq!(lines(&queue).len(), QUEUE_BATCHES);
}

#[test]
fn a_full_buffer_goes_out_without_a_flush_and_buffers_come_back() {
    let queue = LogQueue::new(Origin::default());
    let mut log = queue.shard_log();
    for _ in 0..BATCH_LINES {
        log.write(&[target(LogLineFormat::Raw)], said(b"x"));
    }
    let batch = queue.pop().expect("a full batch");
    assert_eq!((batch.len(), batch.bytes().len()), (BATCH_LINES, 2 * BATCH_LINES));
    queue.recycle(batch);
    assert_eq!(queue.empty.len(), 1);
}

#[test]
fn the_writer_may_sleep_only_when_nothing_waits() {
    let queue = LogQueue::new(Origin::default());
    assert!(queue.may_sleep());
    let mut log = queue.shard_log();
    log.write(&[target(LogLineFormat::Raw)], said(b"x"));
    log.flush();
    assert!(!queue.asleep.load(Ordering::Relaxed), "the push cleared the flag");
    assert!(!queue.may_sleep());
}

#[test]
fn a_line_without_format_names_the_host_only_when_one_was_set() {
    let plain = line(target(LogLineFormat::Unsaid), None);
    assert!(plain.contains(":20 lb[42]: "), "{plain}");
    let named = line(target(LogLineFormat::Unsaid), Some("edge1"));
    assert!(named.contains(":20 edge1 lb[42]: "), "{named}");
}

#[test]
fn structured_data_stands_in_rfc5424_lines_only() {
    let queue = LogQueue::new(Origin::default());
    let mut log = queue.shard_log();
    let targets = [target(LogLineFormat::Rfc5424), target(LogLineFormat::Short)];
    log.write(&targets, Line { structured: b"[a@1 b=\"c\"]", ..said(b"x") });
    log.flush();
    let lines = lines(&queue);
    assert!(lines[0].ends_with(" - [a@1 b=\"c\"] x\n"), "{lines:?}");
    assert_eq!(lines[1], "<6>x\n");
}

#[test]
fn samples_share_lines_out_and_count_only_lines_that_the_level_admits() {
    let queue = LogQueue::new(Origin::default());
    let mut log = queue.shard_log();
    let sample =
        |counter, ranges: &[(u32, u32)]| Some(Sample { counter, ranges: ranges.to_vec(), size: 3 });
    let odd = LogTarget { sample: sample(0, &[(1, 1), (3, 3)]), ..target(LogLineFormat::Raw) };
    let rest =
        LogTarget { sample: sample(1, &[(2, 2)]), max_level: 6, ..target(LogLineFormat::Short) };
    let targets = [odd, rest];
    for text in ["a", "b", "c", "d", "e"] {
        log.write(&targets, said(text.as_bytes()));
    }
    log.write(&targets[1..], Line { level: 7, ..said(b"quiet") });
    log.flush();
    assert_eq!(lines(&queue), ["a\n", "<6>b\n", "c\n", "d\n", "<6>e\n"]);
}

#[test]
fn structured_data_that_does_not_fit_is_left_out_as_a_whole() {
    let queue = LogQueue::new(Origin::default());
    let mut log = queue.shard_log();
    let targets = [LogTarget { length_max: 60, ..target(LogLineFormat::Rfc5424) }];
    log.write(
        &targets,
        Line { structured: b"[a@1 b=\"0123456789012345678901234567890\"]", ..said(b"x") },
    );
    log.flush();
    assert!(lines(&queue)[0].ends_with(" - - x\n"), "the data has 38 bytes");
}
