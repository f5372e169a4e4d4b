{
  'variables': {
    # Warnings are errors for us (scripts/install.cjs --build), not for whoever installs the package
    # with a compiler that is not written yet.
    'ktls_strict%': 'false',
    # scripts/prebuild.ts sets it: an addon for every libc and every C++ library.
    'ktls_prebuilt%': 'false',
    # Relative, since make cannot have blanks in a path; its working directory is build/.
    'node_addon_api%': '../<!(node -p "require(\'node-addon-api\').include_dir")',
  },
  'targets': [
    {
      'target_name': 'ktls',
      'conditions': [
        [
          'OS == "linux"',
          {
            'sources': [
              'src-native/addon.cc',
              'src-native/arguments.cc',
              'src-native/channel.cc',
              'src-native/crypto_info.cc',
              'src-native/environment.cc',
              'src-native/epoll_set.cc',
              'src-native/ethtool.cc',
              'src-native/host_binding.cc',
              'src-native/file_opener.cc',
              'src-native/file_sender.cc',
              'src-native/ktls_socket.cc',
              'src-native/netlink.cc',
              'src-native/page_cache.cc',
              'src-native/probe.cc',
              'src-native/probe_binding.cc',
              'src-native/record_reader.cc',
              'src-native/send_file.cc',
              'src-native/sock_diag.cc',
              'src-native/sock_diag_dump.cc',
              'src-native/stream_reader.cc',
              'src-native/system_error.cc',
            ],
            'defines': [
              'NAPI_VERSION=8',
              # No C++ exceptions: most of our frames stand under libuv's and Node's C ones, through
              # which none may fly.
              'NAPI_DISABLE_CPP_EXCEPTIONS',
              # Without it a worker that is terminated within a call of ours aborts the process:
              # Node refuses to throw there, and node-addon-api takes that for fatal.
              'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
            ],
            # As a system header, so that our warnings are about our code.
            'cflags': ['-isystem', '<(node_addon_api)'],
            'cflags_cc': ['-std=c++17', '-fvisibility=hidden', '-Wall', '-Wextra'],
            'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
            'conditions': [
              ['ktls_strict == "true"', {'cflags_cc': ['-Werror']}],
              [
                'ktls_prebuilt == "true"',
                {
                  'sources': ['src-native/prebuilt/runtime.cc'],
                  # It renames functions to what musl has not (fcntl64). off_t has 64 bits anyway.
                  'defines!': ['_FILE_OFFSET_BITS=64'],
                  'cflags': ['-ffunction-sections', '-fdata-sections'],
                  'ldflags': [
                    '-nodefaultlibs',
                    '-Wl,--gc-sections',
                    '-Wl,--version-script=<(module_root_dir)/src-native/prebuilt/exports.map',
                  ],
                  'libraries': ['-lc', '-lgcc'],
                  # They would ask glibc for the processor's features.
                  'conditions': [['target_arch == "arm64"', {'cflags': ['-mno-outline-atomics']}]],
                },
              ],
            ],
          },
          # Elsewhere there is no kernel TLS to use, and nothing to build.
          {'type': 'none'},
        ],
      ],
    },
  ],
}
