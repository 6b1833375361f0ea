//! edgehost for Zig: the Extism calls and the host functions that a component may use. JSON is the standard library's.
//!
//! One file. Build a component with the `ziglang` package:
//!
//!   python -m ziglang build-exe -target wasm32-freestanding -mcpu=mvp -OReleaseSmall -fstrip -fno-entry -rdynamic \
//!     --stack 32768 --dep edgehost -Mroot=hello.zig -Medgehost=../guest/zig/edgehost.zig
//!
//! `-mcpu=mvp` keeps to the instructions that every host and board runs.
//!
//!   export fn hello() i32 {
//!       return edgehost.answer(greeting);
//!   }
//!   fn greeting(call: *edgehost.Call) !void {
//!       const asked = try call.input(struct { name: []const u8 });
//!       try call.output(.{ .hello = asked.name });
//!   }

const std = @import("std");

const env = struct {
    extern "extism:host/env" fn input_length() u64;
    extern "extism:host/env" fn input_load_u8(offset: u64) u8;
    extern "extism:host/env" fn input_load_u64(offset: u64) u64;
    extern "extism:host/env" fn output_set(offset: u64, size: u64) void;
    extern "extism:host/env" fn error_set(offset: u64) void;
    extern "extism:host/env" fn config_get(key: u64) u64;
    extern "extism:host/env" fn var_get(key: u64) u64;
    extern "extism:host/env" fn var_set(key: u64, value: u64) void;
    extern "extism:host/env" fn alloc(size: u64) u64;
    extern "extism:host/env" fn free(offset: u64) void;
    extern "extism:host/env" fn length(offset: u64) u64;
    extern "extism:host/env" fn load_u8(offset: u64) u8;
    extern "extism:host/env" fn load_u64(offset: u64) u64;
    extern "extism:host/env" fn store_u8(offset: u64, byte: u8) void;
    extern "extism:host/env" fn store_u64(offset: u64, word: u64) void;
    extern "extism:host/env" fn log_debug(line: u64) void;
    extern "extism:host/env" fn log_info(line: u64) void;
    extern "extism:host/env" fn log_warn(line: u64) void;
    extern "extism:host/env" fn log_error(line: u64) void;
};

const user = struct {
    extern "extism:host/user" fn readings(request: u64) u64;
    extern "extism:host/user" fn save(request: u64) u64;
    extern "extism:host/user" fn get(request: u64) u64;
    extern "extism:host/user" fn find(request: u64) u64;
    extern "extism:host/user" fn delete(request: u64) u64;
    extern "extism:host/user" fn call(request: u64) u64;
    extern "extism:host/user" fn notify(request: u64) u64;
    extern "extism:host/user" fn now(request: u64) u64;
    extern "extism:host/user" fn port(request: u64) u64;
    extern "extism:host/user" fn related(request: u64) u64;
    extern "extism:host/user" fn service(request: u64) u64;
};

/// What the host offers. A function that a component never names is not imported, so it needs no grant.
pub const Function = enum { readings, save, get, find, delete, call, notify, now, port, related, service };

pub const Level = enum { debug, info, warn, @"error" };

/// Everything that one call takes lives here and is gone after it.
var arena: [64 * 1024]u8 = undefined;

/// Runs an export. An error that `fail` has not explained is told by its name.
pub fn answer(comptime work: fn (*Call) anyerror!void) i32 {
    var memory = std.heap.FixedBufferAllocator.init(&arena);
    var call: Call = .{ .allocator = memory.allocator() };
    work(&call) catch |err| {
        env.error_set(toHost(call.why orelse @errorName(err)));
        return 1;
    };
    return 0;
}

pub const Call = struct {
    allocator: std.mem.Allocator,
    why: ?[]const u8 = null,

    /// The input, read as JSON of this type; members that the type does not have are skipped.
    pub fn input(call: *Call, comptime T: type) !T {
        const text = try copied(call, env.input_length(), 0, env.input_load_u64, env.input_load_u8);
        return parsed(call, T, text) catch call.fail("the input is not the JSON that this function takes");
    }

    /// Sets the output to this value as JSON.
    pub fn output(call: *Call, value: anytype) !void {
        const text = try written(call, value);
        env.output_set(toHost(text), text.len);
    }

    /// Ends the call with this explanation: `return call.fail("why");`
    pub fn fail(call: *Call, why: []const u8) error{Refused} {
        call.why = why;
        return error.Refused;
    }

    /// A value of [config] in component.toml; empty when there is none.
    pub fn config(call: *Call, key: []const u8) ![]const u8 {
        return received(call, env.config_get(toHost(key)));
    }

    /// A variable that this instance has set before; empty when there is none.
    pub fn variable(call: *Call, key: []const u8) ![]const u8 {
        return received(call, env.var_get(toHost(key)));
    }

    pub fn setVariable(_: *Call, key: []const u8, value: []const u8) void {
        env.var_set(toHost(key), toHost(value));
    }

    pub fn log(_: *Call, comptime level: Level, line: []const u8) void {
        @field(env, "log_" ++ @tagName(level))(toHost(line));
    }

    /// Asks the host and reads its `ok` as this type; a refusal ends the call with the host's words.
    pub fn host(call: *Call, comptime function: Function, request: anytype, comptime Answer: type) !Answer {
        const Refusal = struct { code: []const u8, message: []const u8 };
        const Reply = struct { ok: ?Answer = null, @"error": ?Refusal = null };
        const question = if (@sizeOf(@TypeOf(request)) == 0) "{}" else try written(call, request);
        const block = toHost(question);
        const answered = @field(user, @tagName(function))(block);
        env.free(block);
        const text = try received(call, answered);
        const reply = parsed(call, Reply, text) catch return call.fail("the host's answer has another shape");
        if (reply.ok) |value| return value;
        return call.fail(if (reply.@"error") |refusal| refusal.message else "the host gave no answer");
    }
};

fn parsed(call: *Call, comptime T: type, text: []const u8) !T {
    return std.json.parseFromSliceLeaky(T, call.allocator, text, .{ .ignore_unknown_fields = true });
}

fn written(call: *Call, value: anytype) ![]u8 {
    return std.json.Stringify.valueAlloc(call.allocator, value, .{});
}

// The host's memory is reached by calls only; eight bytes at a time keeps them few. The host frees the blocks that
// configuration, variables and log lines are handed over in.

fn toHost(text: []const u8) u64 {
    if (text.len == 0) return 0;
    const block = env.alloc(text.len);
    var i: usize = 0;
    while (i + 8 <= text.len) : (i += 8) env.store_u64(block + i, std.mem.readInt(u64, text[i..][0..8], .little));
    while (i < text.len) : (i += 1) env.store_u8(block + i, text[i]);
    return block;
}

fn copied(
    call: *Call,
    size: u64,
    start: u64,
    comptime word: fn (u64) callconv(.c) u64,
    comptime byte: fn (u64) callconv(.c) u8,
) ![]u8 {
    if (size > arena.len) return error.OutOfMemory;
    const text = try call.allocator.alloc(u8, @intCast(size));
    var i: usize = 0;
    while (i + 8 <= text.len) : (i += 8) std.mem.writeInt(u64, text[i..][0..8], word(start + i), .little);
    while (i < text.len) : (i += 1) text[i] = byte(start + i);
    return text;
}

fn received(call: *Call, block: u64) ![]u8 {
    if (block == 0) return "";
    defer env.free(block);
    return copied(call, env.length(block), block, env.load_u64, env.load_u8);
}
