//! How RocksDB is set up.

use gritmesh_runtime::Table;
use rocksdb::statistics::StatsLevel;
use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, MemtableFactory};

use crate::Options;

/// Threads that write memtables out and compact: one each, since the cores are few and the engines want them.
const BACKGROUND_JOBS: i32 = 2;

/// Write-ahead log after which even a table that changes rarely is written out, so that opening after a crash has
/// no more than this to replay.
const WAL_BYTES_MAX: u64 = 128 << 20;

/// Bytes that are handed to the disk at a time while sorted files are written, so that a sync of the log does not
/// wait behind all of them.
const BYTES_PER_SYNC: u64 = 1 << 20;

/// RocksDB's own log files, for whoever has to look into one.
const INFO_LOG_FILES: usize = 2;
const INFO_LOG_BYTES: usize = 1 << 20;

/// Bits of the filter per key: one lookup of a missing key in a hundred reads a block in vain.
const FILTER_BITS_PER_KEY: f64 = 10.0;

/// The newest form of the sorted files that all RocksDB of version 9 and later read.
const BLOCK_FORMAT: i32 = 6;

/// A table that many bytes go through.
const MEMTABLE_BYTES_BIG: usize = 16 << 20;

/// Bytes that a memtable takes from the allocator at a time: whole huge pages, since an insert touches a dozen places
/// all over it.
const ARENA_BLOCK_BYTES: usize = 4 << 20;

/// A table of small records.
const MEMTABLE_BYTES_SMALL: usize = 4 << 20;

/// Deletes among so many records of the log in a row after which they are compacted: what was cut off is not read
/// over again and again.
const LOG_DELETES: (usize, usize) = (4096, 2048);

pub(crate) fn database(options: &Options) -> rocksdb::Options {
    let mut database = rocksdb::Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    database.set_paranoid_checks(true);
    // What was synced is before what was not, so the first torn record ends the part that counts.
    database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    database.set_db_write_buffer_size(options.memtable_bytes);
    database.set_max_total_wal_size(WAL_BYTES_MAX);
    database.set_bytes_per_sync(BYTES_PER_SYNC);
    database.set_max_background_jobs(BACKGROUND_JOBS);
    // There is one writer at a time, so the memtables need no atomic inserts.
    database.set_allow_concurrent_memtable_write(false);
    database.set_max_open_files(options.open_files);
    database.set_keep_log_file_num(INFO_LOG_FILES);
    database.set_max_log_file_size(INFO_LOG_BYTES);
    database.set_log_level(LogLevel::Warn);
    // Counters only: times and histograms would cost a clock reading per operation.
    database.enable_statistics();
    database.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    database.set_stats_dump_period_sec(0);
    database.set_stats_persist_period_sec(0);
    // Removed records are given back within a day even where nothing else is written.
    database.set_periodic_compaction_seconds(24 * 60 * 60);
    database
}

pub(crate) fn table(table: Table, cache: &Cache) -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(BLOCK_FORMAT);
    let mut memtable = MEMTABLE_BYTES_SMALL;
    match table {
        // Looked up by key, and often missing.
        Table::Head | Table::Answer => blocks.set_bloom_filter(FILTER_BITS_PER_KEY, false),
        Table::Object => {
            blocks.set_bloom_filter(FILTER_BITS_PER_KEY, false);
            memtable = MEMTABLE_BYTES_BIG;
        }
        Table::Log => {
            // An entry is cut off soon after it was written: two memtables become one file, and what died in
            // between never reaches the disk a second time.
            memtable = MEMTABLE_BYTES_BIG;
            // Only a restart reads the log, so in memory it need not be sorted.
            options.set_memtable_factory(MemtableFactory::Vector);
            options.set_max_write_buffer_number(4);
            options.set_min_write_buffer_number_to_merge(2);
            let (window, deletes) = LOG_DELETES;
            options.add_compact_on_deletion_collector_factory(window, deletes, 0.5);
        }
        Table::Node | Table::Group | Table::Outbox | Table::Reminder | Table::Letter | Table::Paused => {}
    }
    options.set_write_buffer_size(memtable);
    options.set_arena_block_size(ARENA_BLOCK_BYTES);
    options.set_block_based_table_factory(&blocks);
    options
}
