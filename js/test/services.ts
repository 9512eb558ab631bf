/** Stands in for '@jupyterlab/services' in unit tests: the one function the plugin calls at run time. */
export const KernelMessage = {
  createMessage: ({ msgType, channel, content }: { msgType: string; channel: string; content: object }) => ({
    header: { msg_type: msgType, session: 'page' },
    parent_header: {},
    channel,
    content,
  }),
};
