//! The scenarios on the embedded cluster: `cargo test -p portolan-scenarios`.

portolan_scenarios::suite!(portolan_scenarios::arena::on_embedded);
