//! Uses every function of edgehost.rs once.

#[path = "../guest/rust/edgehost.rs"]
mod edgehost;

use edgehost::*;

#[no_mangle]
pub extern "C" fn everything() -> i32 {
    answer(|input| {
        let said = input.get("text").as_str().ok_or("text is missing")?;
        log_debug("debug");
        log_info("info");
        log_warn("warn");
        log_error("error");
        set_var("kept", said);
        let asked = object([("from", Json::from(said))]);
        let replies = vec![
            readings(&asked)?, save(&asked)?, get(&asked)?, find(&asked)?,
            delete(&asked)?, call(&asked)?, notify(&asked)?, now(&asked)?,
            port(&asked)?, related(&asked)?, service(&asked)?,
        ];
        Ok(object([
            ("var", Json::from(var("kept").as_str())),
            ("config", Json::from(config("words").as_str())),
            ("missing", Json::from(config("nothing").as_str())),
            ("replies", Json::Array(replies)),
        ]))
    })
}

#[no_mangle]
pub extern "C" fn refused() -> i32 {
    answer(|_| now(&object([])).map_err(|refusal| refusal.message))
}
