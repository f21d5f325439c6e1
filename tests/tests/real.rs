//! The scenarios on a real control plane: `cargo xtask real`.

portolan_scenarios::suite!(portolan_scenarios::arena::on_real);
