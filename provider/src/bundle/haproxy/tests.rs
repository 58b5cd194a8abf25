use super::{Sending, servers_down};

fn two() -> Sending {
    let server = |id: u16| (format!("web-{id}"), format!("127.10.1.{id}"), 8080);
    Sending { pool: "web".to_owned(), servers: vec![server(1), server(2)] }
}

const STATE_HEADER: &str = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port";

#[track_caller]
fn check_kept(line: &str, kept: &str) {
    let text = two().state_to_keep(&format!("1\n{STATE_HEADER}\n{line}\n"));
    let expected = format!("1\n{STATE_HEADER}\n{kept}{}", if kept.is_empty() { "" } else { "\n" });
    assert_eq!(text, expected);
}

#[test]
fn state_is_kept_of_servers_that_are_where_they_were() {
    // Down, drained, half its weight.
    let line = "3 web 1 web-1 127.10.1.1 0 8 50 100 7 8 2 0 6 0 0 0 - 8080 - 0 0 - - 0";
    check_kept(line, line);
    check_kept(&line.replace(" 8080 ", " 8090 "), "");
    check_kept(&line.replace("127.10.1.1", "127.10.1.2"), "");
    check_kept(&line.replace(" web ", " other "), "");
    check_kept(&line.replace("web-1", "web-3"), "");
}

#[test]
fn what_was_set_by_hand_and_is_no_state_is_not_kept() {
    check_kept(
        "3 web 1 web-1 127.10.1.1 2 0 1 1 7 8 2 0 6 0 0 0 evil.example 8080 - 1 99 10.0.0.1 10.0.0.1 98",
        "3 web 1 web-1 127.10.1.1 2 0 1 1 7 8 2 0 6 0 0 0 - 8080 - 0 0 - - 0",
    );
    check_kept("3 web 1 web-1 127.10.1.1 2 0 1 1", "");
    check_kept("", "");
    assert_eq!(two().state_to_keep("2\n# be_id\n"), "");
    assert_eq!(two().state_to_keep(""), "");
}

const TABLE: &str = "# pxname,svname,qcur,status,weight,addr\nweb,FRONTEND,,OPEN,,127.10.2.1:8080\nweb,web-1,0,UP 1/2,1,127.10.1.1:8080\nweb,web-2,0,DOWN,1,127.10.1.2:8080\nweb,BACKEND,0,UP,1,\n";

#[test]
fn servers_that_are_not_up_are_found() {
    assert_eq!(servers_down(TABLE), [("web-2".to_owned(), "DOWN".to_owned())]);
}

#[test]
fn servers_that_are_elsewhere_are_found() {
    assert_eq!(two().differences(TABLE), Vec::<String>::new());
    let elsewhere = TABLE.replace("127.10.1.2:8080", "127.10.1.2:8090");
    assert_eq!(two().differences(&elsewhere), ["requests for web-2 go to 127.10.1.2:8090"]);
    let renamed = TABLE.replace("web-2", "web-7");
    assert_eq!(two().differences(&renamed), ["web-2 gets no requests", "requests for web-7 go to 127.10.1.2:8080"]);
    // A name is looked up by HAProxy.
    let by_name = Sending { servers: vec![("web-1".to_owned(), "db.example".to_owned(), 8080)], ..two() };
    let table = TABLE.replace("web,web-2,0,DOWN,1,127.10.1.2:8080\n", "");
    assert_eq!(by_name.differences(&table), Vec::<String>::new());
}
