package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"evenkeel.dev/console"
)

func notifyCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "See whether notification targets can be reached",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(notifyTestCommand(c))
	return cmd
}

func notifyTestCommand(c *cli) *cobra.Command {
	var namespace, output string
	cmd := &cobra.Command{
		Use:   "test TARGET",
		Short: "Send a test message to a notification target",
		Long: `Test sends one message, clearly marked as a test, to an AlertNotificationTarget by the way that alerts take, and says what came of it. A PagerDuty
incident that it opens is resolved at once. It needs a token of the role operator.

It exits with 1 when there is no such target or it did not take the message.`,
		Example: "  evenkeel notify test oncall\n  evenkeel notify test shop-prod/oncall",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace of the target")
	outputFlag(cmd, &output)
	cmd.RunE = do(func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		name := args[0]
		if ns, rest, ok := strings.Cut(name, "/"); ok {
			namespace, name = ns, rest
		}
		api, err := c.client()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := api.call(cmd.Context(), "POST", "/api/v1/targets/"+escape(namespace, name)+"/test", nil, "", nil, &raw); err != nil {
			return c.refused(err)
		}
		var x console.TargetTest
		if err := json.Unmarshal(raw, &x); err != nil {
			return fmt.Errorf("answer of the server: %w", err)
		}
		if output != "" {
			if err := printAs(c.out, output, raw); err != nil {
				return err
			}
		}
		return c.tested(&x, output == "")
	})
	return cmd
}

// tested says what came of a test.
func (c *cli) tested(x *console.TargetTest, say bool) error {
	status := ""
	if x.Status != 0 {
		status = fmt.Sprintf(" (%d)", x.Status)
	}
	message := ""
	if x.Message != "" {
		message = ": " + clean(x.Message)
	}
	switch {
	case x.Outcome != "delivered" && !say:
		return &exitError{code: exitNo}
	case x.Outcome != "delivered":
		return answerNo("target %s (%s) did not take the test: %s%s%s", clean(x.Target), clean(x.Type), clean(x.Outcome), status, message)
	case say:
		fmt.Fprintf(c.out, "target %s (%s) has taken the test%s%s\n", clean(x.Target), clean(x.Type), status, message)
	}
	return nil
}
