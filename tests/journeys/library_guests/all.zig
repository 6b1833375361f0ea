//! Uses every function of edgehost.zig once.

const std = @import("std");
const edgehost = @import("edgehost");

export fn everything() i32 {
    return edgehost.answer(all);
}

export fn refused() i32 {
    return edgehost.answer(now);
}

fn all(call: *edgehost.Call) anyerror!void {
    const asked = try call.input(struct { text: ?[]const u8 = null });
    const said = asked.text orelse return call.fail("text is missing");
    call.log(.debug, "debug");
    call.log(.info, "info");
    call.log(.warn, "warn");
    call.log(.@"error", "error");
    call.setVariable("kept", said);
    var replies: [11]std.json.Value = undefined;
    inline for (comptime std.enums.values(edgehost.Function), 0..) |function, i| {
        replies[i] = try call.host(function, .{ .from = said }, std.json.Value);
    }
    try call.output(.{
        .@"var" = try call.variable("kept"),
        .config = try call.config("words"),
        .missing = try call.config("nothing"),
        .replies = replies,
    });
}

fn now(call: *edgehost.Call) anyerror!void {
    _ = try call.host(.now, .{}, std.json.Value);
}
