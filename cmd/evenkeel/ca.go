package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"evenkeel.dev/mesh/identity"
	"evenkeel.dev/mesh/spiffe"
)

// A caFile is what stands in ca.json beside the keys.
type caFile struct {
	Version     int             `json:"v"`
	TrustDomain string          `json:"trustDomain"`
	Lives       identity.Lives  `json:"lives"`
	CA          json.RawMessage `json:"ca"` // identity.CA's snapshot
}

// caFlags are those of all commands of ca.
type caFlags struct {
	dir, master string
	dryRun      bool
}

func caCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Keep the certificate authority of a global namespace, in a folder",
		Long: `Ca makes a certificate authority for one global namespace, with a CA of its own for each cluster, renews both before they end, and prints what
istiod of a cluster signs with. It works without a server, on a folder (--dir). Keys are encrypted with the secret in --master-key-file,
which belongs on another disk and into another back-up than the folder.`,
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(caInitCommand(c), caRotateCommand(c), caCacertsCommand(c), caBundleCommand(c), caCheckCommand(c))
	return cmd
}

func (f *caFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "dir", "", "folder of the CA")
	cmd.Flags().StringVar(&f.master, "master-key-file", "", "file with the 32 bytes that the keys are encrypted with")
	_ = errors.Join(cmd.MarkFlagRequired("dir"), cmd.MarkFlagRequired("master-key-file")) // the flags exist
}

func (f *caFlags) path() string { return filepath.Join(f.dir, "ca.json") }

// open returns the CA of the folder.
func (f *caFlags) open() (*identity.CA, *caFile, error) {
	b, err := os.ReadFile(f.path())
	if err != nil {
		return nil, nil, fmt.Errorf("%w; make one with: evenkeel ca init", err)
	}
	var file caFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.path(), err)
	}
	if file.Version != 1 {
		return nil, nil, fmt.Errorf("%s has version %d; this program reads version 1", f.path(), file.Version)
	}
	config, err := f.config(&file)
	if err != nil {
		return nil, nil, err
	}
	ca, err := identity.Load(config, file.CA)
	return ca, &file, err
}

func (f *caFlags) config(file *caFile) (identity.Config, error) {
	domain, err := spiffe.ParseTrustDomain(file.TrustDomain)
	if err != nil {
		return identity.Config{}, err
	}
	keys, err := identity.OpenFolder(filepath.Join(f.dir, "keys"), f.master)
	if err != nil {
		return identity.Config{}, err
	}
	return identity.Config{TrustDomain: domain, Keys: keys, Lives: file.Lives}, nil
}

// save keeps the CA; the old file stands until the new one is whole.
func (f *caFlags) save(ca *identity.CA, file *caFile) error {
	snapshot, err := ca.Snapshot()
	if err != nil {
		return err
	}
	file.CA = snapshot
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.path()+".part", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(f.path()+".part", f.path())
}

// rotate does, or with a dry run says, what may be done now.
func (c *cli) rotate(ctx context.Context, f *caFlags, ca *identity.CA, file *caFile) error {
	now := time.Now()
	const stepsMax = 10_000 // 256 clusters take three each
	for range stepsMax {
		steps := identity.Rotate(ca.State(), file.Lives, now)
		if f.dryRun {
			for _, s := range steps {
				c.printStep(&s, " (dry run)")
			}
		}
		if f.dryRun || len(steps) == 0 || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := ca.Do(steps[0], now); err != nil {
			return fmt.Errorf("%s: %w", steps[0].Kind, err)
		}
		if err := f.save(ca, file); err != nil {
			return err
		}
		c.printStep(&steps[0], "")
	}
	return nil
}

func (c *cli) printStep(s *identity.Step, note string) {
	fmt.Fprintf(c.out, "%s %s%s: %s\n", s.Kind, orDash(s.Cluster), note, s.Reason)
}

func caInitCommand(c *cli) *cobra.Command {
	var f caFlags
	var domain string
	var clusters []string
	var leaf time.Duration
	cmd := &cobra.Command{
		Use:   "init --trust-domain DOMAIN --clusters NAME,... --dir DIR --master-key-file FILE",
		Short: "Make a CA for a global namespace, and one for each of its clusters",
		Long: `Init makes an authority for the trust domain (the domain of the global namespace) and a CA for each cluster under it. The file of the master
secret is made when it is not there.`,
		Example: "  evenkeel ca init --trust-domain shop.internal --clusters eu-1,us-1 --dir shop-ca --master-key-file /media/key/shop",
		Args:    cobra.NoArgs,
	}
	f.add(cmd)
	cmd.Flags().StringVar(&domain, "trust-domain", "", "trust domain, which is the domain of the global namespace")
	cmd.Flags().StringSliceVar(&clusters, "clusters", nil, "clusters of the global namespace")
	cmd.Flags().DurationVar(&leaf, "leaf", 24*time.Hour, "how long certificates of workloads live; at most 90 days")
	_ = errors.Join(cmd.MarkFlagRequired("trust-domain"), cmd.MarkFlagRequired("clusters"))
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		if _, err := os.Stat(f.path()); !errors.Is(err, fs.ErrNotExist) {
			return wrongUsage("%s is there already; add a cluster with: evenkeel ca rotate --clusters", f.path())
		}
		domain, err := spiffe.Of(domain)
		if err != nil {
			return wrongUsage("--trust-domain: %v", err)
		}
		if err := makeMaster(f.master); err != nil {
			return err
		}
		if err := os.MkdirAll(f.dir, 0o700); err != nil {
			return err
		}
		file := &caFile{Version: 1, TrustDomain: domain.String(), Lives: identity.Lives{Leaf: leaf}}
		config, err := f.config(file)
		if err != nil {
			return err
		}
		ca, err := identity.New(config)
		if err != nil {
			return wrongUsage("%v", err)
		}
		ca.SetClusters(clusters...)
		return c.rotate(cmd.Context(), &f, ca, file)
	})
	return cmd
}

// makeMaster makes the file of the master secret where there is none.
func makeMaster(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	secret := make([]byte, identity.MasterBytes)
	rand.Read(secret) // never fails
	return os.WriteFile(path, []byte(hex.EncodeToString(secret)+"\n"), 0o600)
}

func caRotateCommand(c *cli) *cobra.Command {
	var f caFlags
	var clusters []string
	cmd := &cobra.Command{
		Use:   "rotate --dir DIR --master-key-file FILE",
		Short: "Renew what has lived for half of its time; run it every day",
		Long: `Rotate does what may be done now: a new signer is believed everywhere before it signs, cluster CAs are renewed one by one, and an old signer
goes when nothing that it has signed is valid any more. Running it too often does nothing. Give each cluster its cacerts again after it.`,
		Args: cobra.NoArgs,
	}
	f.add(cmd)
	cmd.Flags().StringSliceVar(&clusters, "clusters", nil, "from now on the global namespace has these clusters")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be done and change nothing")
	cmd.RunE = do(func(cmd *cobra.Command, _ []string) error {
		ca, file, err := f.open()
		if err != nil {
			return err
		}
		if len(clusters) > 0 {
			ca.SetClusters(clusters...)
		}
		return c.rotate(cmd.Context(), &f, ca, file)
	})
	return cmd
}

func caCacertsCommand(c *cli) *cobra.Command {
	var f caFlags
	var cluster string
	cmd := &cobra.Command{
		Use:     "cacerts --cluster NAME --dir DIR --master-key-file FILE",
		Short:   "Print the secret that istiod of a cluster signs with; it holds a private key",
		Example: "  evenkeel ca cacerts --cluster eu-1 --dir shop-ca --master-key-file /media/key/shop | kubectl --context eu-1 apply -f -",
		Args:    cobra.NoArgs,
	}
	f.add(cmd)
	cmd.Flags().StringVar(&cluster, "cluster", "", "cluster of the global namespace")
	_ = cmd.MarkFlagRequired("cluster") // the flag exists
	cmd.RunE = do(func(*cobra.Command, []string) error {
		ca, file, err := f.open()
		if err != nil {
			return err
		}
		data, err := ca.Cacerts(cluster)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: cacerts\n  namespace: istio-system\n  annotations: {evenkeel.dev/trust-domain: %s}\ntype: Opaque\ndata:\n", file.TrustDomain)
		for _, name := range slices.Sorted(maps.Keys(data)) {
			fmt.Fprintf(c.out, "  %s: %s\n", name, base64.StdEncoding.EncodeToString(data[name]))
		}
		return nil
	})
	return cmd
}

func caBundleCommand(c *cli) *cobra.Command {
	var f caFlags
	var form string
	cmd := &cobra.Command{Use: "bundle --dir DIR --master-key-file FILE", Short: "Print what certificates of the global namespace are verified with", Args: cobra.NoArgs}
	f.add(cmd)
	cmd.Flags().StringVarP(&form, "output", "o", "pem", "pem, or spiffe: a SPIFFE bundle in JSON")
	cmd.RunE = do(func(*cobra.Command, []string) error {
		ca, _, err := f.open()
		if err != nil {
			return err
		}
		b := ca.Bundle()
		switch form {
		case "pem":
			_, err = c.out.Write(b.PEM())
		case "spiffe":
			var text []byte
			if text, err = b.JSON(); err == nil {
				_, err = fmt.Fprintf(c.out, "%s\n", text)
			}
		default:
			return wrongUsage("-o %s is not known; it is pem or spiffe", form)
		}
		return err
	})
	return cmd
}

func caCheckCommand(c *cli) *cobra.Command {
	var f caFlags
	cmd := &cobra.Command{
		Use: "check --dir DIR --master-key-file FILE", Short: "Say what ends soon because nobody renewed it", Args: cobra.NoArgs,
		Long: "Check lists the authorities with their ends, and what is wrong with them. It exits with 1 when something is.",
	}
	f.add(cmd)
	cmd.RunE = do(func(*cobra.Command, []string) error {
		ca, file, err := f.open()
		if err != nil {
			return err
		}
		rows := [][]string{{"CLUSTER", "ROLE", "NOT AFTER", "ID"}}
		for _, a := range ca.State().Authorities {
			rows = append(rows, []string{orDash(a.Cluster), a.Role, a.NotAfter.UTC().Format(time.RFC3339), a.ID})
		}
		if err := table(c.out, []int{24, 8, 20, 16}, rows); err != nil {
			return err
		}
		findings := identity.Findings(ca.State(), file.Lives, time.Now())
		for _, x := range findings {
			fmt.Fprintf(c.err, "%s: %s ends at %s\n", x.Reason, orDash(x.Cluster), x.NotAfter.UTC().Format(time.RFC3339))
		}
		if len(findings) > 0 {
			return answerNo("%s; run: evenkeel ca rotate", plural(len(findings), "finding"))
		}
		return nil
	})
	return cmd
}
