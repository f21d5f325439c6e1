//! The scenarios on a real control plane: `cargo xtask real`.

portolan_scenarios::suite!(portolan_scenarios::arena::on_real);

#[test]
fn traffic_goes_where_kube_proxy_sends_it() -> portolan_scenarios::failure::Result {
    portolan_scenarios::kube_proxy::compare()
}
