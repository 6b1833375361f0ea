// Uses every function of edgehost.ts once.

import {
  call, config, fail, find, get, input, jsonArray, jsonObject, jsonText, logDebug, logError, logInfo, logWarn, notify,
  now, output, port, readings, related, remove, save, service, setVariable, variable,
} from "../guest/assemblyscript/edgehost";

export function everything(): i32 {
  const said = input().get("text");
  if (!said.isString) return fail("text is missing");
  logDebug("debug");
  logInfo("info");
  logWarn("warn");
  logError("error");
  setVariable("kept", said.text);
  const asked = jsonObject().set("from", said);
  const answers = [
    readings(asked), save(asked), get(asked), find(asked), remove(asked), call(asked), notify(asked), now(asked),
    port(asked), related(asked), service(asked),
  ];
  const replies = jsonArray();
  for (let i = 0; i < answers.length; i++) replies.items.push(answers[i].get("ok"));
  return output(
    jsonObject()
      .set("var", jsonText(variable("kept")))
      .set("config", jsonText(config("words")))
      .set("missing", jsonText(config("nothing")))
      .set("replies", replies),
  );
}

export function refused(): i32 {
  return fail(now(jsonObject()).get("error").get("message").text);
}
