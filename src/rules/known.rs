//! Words that HAProxy knows and fastlb does not yet, so that a diagnostic can tell them from mistakes.
//!
//! A word leaves its list when it gets a row in a table; a test keeps lists and tables apart.

/// Sample fetches, sorted.
#[rustfmt::skip]
pub const FETCHES: &[&str] = &[
     "acl",   "bc_be_queue", 
     "bc_err", "bc_err_str", "bc_glitches",  "bc_nb_streams",
    "bc_rtt", "bc_rttvar", "bc_settings_streams_limit",   "bc_srv_queue",
        "be_sess_rate",
        
     "cpu_calls", "cpu_ns_avg", "cpu_ns_tot", "cur_client_timeout",
    "cur_connect_timeout", "cur_queue_timeout", "cur_server_timeout", "cur_tarpit_timeout",
    "cur_tunnel_timeout", "distcc_body", "distcc_param", "dump_all_vars", 
      "fc_err", "fc_err_str", "fc_fackets", "fc_glitches",
     "fc_lost", "fc_nb_streams", "fc_pp_authority", "fc_pp_tlv",
    "fc_pp_unique_id", "fc_rcvd_proxy", "fc_reordering", "fc_retrans", "fc_rtt", "fc_rttvar",
    "fc_sacked", "fc_saved_syn", "fc_settings_streams_limit",  "fc_unacked",
    "fcgi.docroot", "fcgi.index",    "fe_req_rate",
    "fe_sess_rate", "fs.aborted", "fs.debug_str", "fs.id", "fs.rst_code", 
        
    "internal.htx.data", "internal.htx.free", "internal.htx.free_data", "internal.htx.has_eom",
    "internal.htx.nbblks", "internal.htx.size", "internal.htx.used", "internal.htx_blk.data",
    "internal.htx_blk.hdrname", "internal.htx_blk.hdrval", "internal.htx_blk.size",
    "internal.htx_blk.start_line", "internal.htx_blk.type", "internal.strm.is_htx", "last_entity",
    "last_rule_file", "last_rule_line", "lat_ns_avg", "lat_ns_tot", "nbproc", "prio_class",
    "prio_offset", "quic_enabled", "req.hdrs_bin",
    "res.cache_hit", "res.cache_name", "res.comp",
    "res.comp_algo", "res.hdrs_bin",
    "sc1_clr_gpc",
    "src_key",
    "srv_sess_rate", "ssl_bc", "ssl_bc_alg_keysize", "ssl_bc_alpn",
    "ssl_bc_cipher", "ssl_bc_client_random", "ssl_bc_curve", "ssl_bc_err", "ssl_bc_err_str",
    "ssl_bc_is_resumed", "ssl_bc_npn", "ssl_bc_protocol", "ssl_bc_server_random",
    "ssl_bc_session_id", "ssl_bc_session_key", "ssl_bc_unique_id", "ssl_bc_use_keysize",
    "ssl_c_ca_err", "ssl_c_ca_err_depth", "ssl_c_chain_der", "ssl_c_der", "ssl_c_err",
    "ssl_c_i_dn", "ssl_c_key_alg", "ssl_c_notafter", "ssl_c_notbefore", "ssl_c_s_dn", "ssl_c_san",
    "ssl_c_serial", "ssl_c_sha1", "ssl_c_sig_alg", "ssl_c_used", "ssl_c_verify", "ssl_c_version",
    "ssl_f_der", "ssl_f_i_dn", "ssl_f_key_alg", "ssl_f_notafter", "ssl_f_notbefore", "ssl_f_s_dn",
    "ssl_f_serial", "ssl_f_sha1", "ssl_f_sig_alg", "ssl_f_version", "ssl_fc_alg_keysize",
    "ssl_fc_alpn", "ssl_fc_cipher", "ssl_fc_cipherlist_bin", "ssl_fc_cipherlist_hex",
    "ssl_fc_cipherlist_str", "ssl_fc_cipherlist_xxh", "ssl_fc_client_early_traffic_secret",
    "ssl_fc_client_handshake_traffic_secret", "ssl_fc_client_random",
    "ssl_fc_client_traffic_secret_0", "ssl_fc_curve", "ssl_fc_early_exporter_secret",
    "ssl_fc_ecformats_bin", "ssl_fc_eclist_bin", "ssl_fc_err", "ssl_fc_err_str",
    "ssl_fc_exporter_secret", "ssl_fc_extlist_bin", "ssl_fc_has_crt", "ssl_fc_has_early",
    "ssl_fc_has_sni", "ssl_fc_is_resumed", "ssl_fc_npn", "ssl_fc_protocol",
    "ssl_fc_protocol_hello_id", "ssl_fc_server_handshake_traffic_secret", "ssl_fc_server_random",
    "ssl_fc_server_traffic_secret_0", "ssl_fc_session_id", "ssl_fc_session_key",
    "ssl_fc_sigalgs_bin", "ssl_fc_sni", "ssl_fc_supported_versions_bin", "ssl_fc_unique_id",
    "ssl_fc_use_keysize", "ssl_s_chain_der", "ssl_s_der", "ssl_s_i_dn", "ssl_s_key_alg",
    "ssl_s_notafter", "ssl_s_notbefore", "ssl_s_s_dn", "ssl_s_serial", "ssl_s_sha1",
    "ssl_s_sig_alg", "ssl_s_version", "stopping", "term_events",
    "thread", "uptime",
    "waiting_entity",
];

/// ACL words with a matching method in them whose fetches are missing, sorted.
#[rustfmt::skip]
pub const ACLS: &[&str] = &[
    "ssl_fc_sni_end", "ssl_fc_sni_reg",
];

/// Converters, sorted.
#[rustfmt::skip]
pub const CONVERTERS: &[&str] = &[
    "debug", "jwt_decrypt_cert", "jwt_decrypt_jwk", "jwt_decrypt_secret", "jwt_verify_cert", "limit", "rfc7239_field", "rfc7239_is_valid", "rfc7239_n2nn", "rfc7239_n2np", "rfc7239_nn", "rfc7239_np",
    "wt6", "x509_v_err_str",
];

/// Actions of rules, sorted; what stands in parentheses behind some is left out.
#[rustfmt::skip]
pub const ACTIONS: &[&str] = &[
    "add-acl", "cache-store", "cache-use", "del-acl", "del-map", "lua",
    "send-spoe-group", "set-bc-mark", "set-bc-tos", "set-map",
    "set-priority-class", "set-priority-offset", "set-timeout",
    "wait-for-handshake",
];
