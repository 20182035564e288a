//! Every limit on what travels between processes, and why it has its size.

/// Layouts that the registry keeps for those who look back: more than an operator undoes
/// at once, and small beside the table.
pub const LAYOUTS_KEPT: u64 = 16;

/// Longest key in bytes: 64 KiB, far above any sensible key and far below a buffer.
pub const KEY_BYTES_MAX: usize = 64 * 1024;

/// Longest value in bytes that a node can be configured to accept. One message
/// holds it whole, so it must stay far below what a node may buffer.
pub const VALUE_BYTES_CEILING: usize = 512 * 1024 * 1024;

/// Longest value in bytes unless a node is told otherwise.
pub const VALUE_BYTES_DEFAULT: usize = 8 * 1024 * 1024;

/// Longest name of a member, a group or a cluster, in bytes. It stands in file
/// names, metric labels and table columns.
pub const NAME_BYTES_MAX: usize = 64;

/// Most operations in one batch or pipeline message: enough to hide a round
/// trip, few enough that one batch cannot hold a shard for long.
pub const BATCH_OPERATIONS_MAX: usize = 1024;

/// Room in a message for everything but keys and values.
pub const MESSAGE_OVERHEAD_BYTES: usize = 1024 * 1024;

/// Longest time to live in milliseconds: ten years, so that deadlines in
/// milliseconds never overflow and a forgotten unit (µs, ns) is refused.
pub const TTL_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// Latest time at which an entry can be told to expire, in milliseconds of Unix time:
/// in the year 10889, the last that fits in six bytes. Later ones mean this one.
pub const DEADLINE_MS_MAX: u64 = (1 << 48) - 2;

/// Largest weight of a member; 50 virtual nodes × 100 keep the ring small.
pub const WEIGHT_MAX: u32 = 100;

/// Most virtual nodes for each unit of weight. Quotas make shares exact whatever
/// their number; more of them only cut a member's slots into more runs.
pub const VIRTUAL_NODES_MAX: u32 = 256;

/// Most members of a cluster: the range for which placement is proved.
pub const MEMBERS_MAX: usize = 1000;

/// Most groups of a cluster: each has counters in every shard of every node.
pub const GROUPS_MAX: usize = 1024;

/// Largest difference between two members' wall clocks in milliseconds. Times
/// to live travel as absolute deadlines, so they are off by as much.
pub const CLOCK_OFFSET_MS_MAX: u64 = 500;
