//! Greets by the host's clock, in the words that its configuration gives.

const std = @import("std");
const edgehost = @import("edgehost");

export fn greet() i32 {
    return edgehost.answer(greeting);
}

/// Asks nothing of the host's clock, so it answers wherever this component arrives.
export fn probe() i32 {
    return edgehost.answer(health);
}

fn greeting(call: *edgehost.Call) anyerror!void {
    const asked = try call.input(struct { name: []const u8 });
    if (asked.name.len == 0) return call.fail("name is empty");
    const time = try call.host(.now, .{}, struct { unix_s: f64 });
    if (time.unix_s < 0) return call.fail("the host's clock is before 1970");
    const hour = @mod(@as(u64, @intFromFloat(time.unix_s)) / 3600, 24);
    const words = try call.config(if (hour < 5 or hour >= 18) "evening" else if (hour < 12) "morning" else "day");
    call.log(.info, asked.name);
    try call.output(.{
        .greeting = try std.mem.concat(call.allocator, u8, &.{ words, ", ", asked.name }),
        .hour_utc = hour,
    });
}

fn health(call: *edgehost.Call) anyerror!void {
    if ((try call.config("morning")).len == 0) return call.fail("config has no words for the morning");
    try call.output(.{ .healthy = true });
}
