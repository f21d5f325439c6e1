//! The list of all scenarios, and the tests that are made of it.

/// Makes a test of each scenario, run by `$run`: [`arena::on_embedded`](crate::arena::on_embedded)
/// or [`arena::on_real`](crate::arena::on_real).
///
/// A scenario that is not in this list is run by nobody.
#[macro_export]
macro_rules! suite {
    ($run:path) => {
        $crate::suite! { $run:
            discovery {
                headless_service
                cluster_ip_service
                pods_with_different_ports
                pods_with_two_addresses
                a_port_that_changes
                an_unknown_port
                a_service_without_endpoints
                a_service_made_later
                a_service_of_a_type_without_endpoints
                a_service_deleted_and_made_again
            }
            slices {
                slices_written_by_hand
                slices_that_make_no_sense
            }
            types {
                a_service_changes_its_type
                a_service_changes_its_ports_and_its_selector
                the_virtual_ip
                node_ports
                a_load_balancer
                aliases
                traffic_that_stays_near
            }
            readiness {
                unready_pods_get_nothing
                published_though_not_ready
                a_terminating_pod_gets_nothing_new
                the_last_terminating_pod_serves_on
            }
            rolling {
                a_stateful_set_restarts
                a_stateful_set_restarts_in_good_order
                a_deployment_restarts
                a_stateful_set_restarts_and_no_key_moves
            }
            crash {
                a_pod_is_killed
                every_pod_is_killed_in_turn
                the_only_pod_is_killed
            }
            sharded {
                every_key_stays_on_its_shard
            }
            shard_maps {
                a_map_in_a_config_map_is_followed
                a_stateful_set_says_how_many_shards_there_are
            }
            sticky {
                sessions_outlive_a_rolling_restart
                a_service_that_wants_its_clients_to_stay
            }
            subsets {
                clients_find_out_which_of_their_peers_they_are
            }
            scaling {
                from_three_to_six_to_two
                to_zero_and_back
            }
            access {
                a_refusal_prints_the_role_that_mends_it
                a_refusal_to_show_nodes_prints_the_role_that_mends_it
                the_minimal_role_is_enough
                the_cluster_role_is_enough
                an_expired_token
            }
            watch {
                one_watch_for_all_balancers
                watches_that_are_cut
                watches_that_are_frozen
                history_that_is_forgotten
            }
            scale {
                ten_thousand_endpoints
                very_many_services
            }
            dns {
                pods_by_name_are_those_of_the_api
                pods_by_number_are_their_addresses
                pods_of_a_deployment_go_by_their_addresses
                pods_with_two_addresses_in_dns
                published_though_not_ready_in_dns
                an_alias_of_a_service
            }
            dns_answers {
                names_have_records_or_none_or_do_not_exist
                a_thousand_addresses
            }
            dns_changes {
                scaling_is_followed_within_the_ttl
                to_zero_and_back_in_dns
                deleted_and_made_again_in_dns
                a_rolling_restart_by_dns_alone
                a_pod_replaced_is_found_by_suspicion
            }
            dns_takes_over {
                dns_falls_silent
                dns_is_killed
                a_rolling_restart_that_the_api_cannot_tell_of
                the_api_server_is_stopped
            }
            failover {
                a_failover_by_label_is_followed
                a_failover_by_lease_is_followed
                a_refusal_to_show_labels_prints_the_role_that_mends_it
            }
            outage {
                api_server_is_stopped_during_a_rollout
                api_server_is_paused
            }
        }
    };
    ($run:path: $($group:ident { $($scenario:ident)* })*) => {
        $(
            mod $group {
                $(
                    #[test]
                    fn $scenario() -> $crate::failure::Result {
                        let story = $crate::scenarios::$group::$scenario;
                        $run(stringify!($scenario), async |arena| story(arena).await)
                    }
                )*
            }
        )*
    };
}
